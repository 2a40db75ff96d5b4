"""Cleaning: what runs left behind and nothing needs any more goes, by one policy."""

from hemix.pipelines.cleaning.component import clean
from hemix.pipelines.definitions.pipeline import pipeline


@pipeline(
    name="cleaning",
    description="Artifacts of old runs, versions, checkpoints, exposures, offline features and TrainJobs go by a policy.",
)
def cleaning(
    registry: str,
    checkpoints: str,
    exposures: str,
    pipeline_root: str,
    feature_store: str = "",
    policy: str = "",
    jobs_namespace: str = "",
    dry_run: bool = False,
) -> None:
    """One step; docs/operator/cleaning.md says what goes and what never does.

    Args:
        registry: location of the model registry.
        checkpoints: location below which each version's checkpoints are.
        exposures: location of the exposure logs; empty: they are left alone.
        feature_store: location of the live feature store, whose superseded offline rows go; empty: it
            is left alone.
        pipeline_root: where the artifacts of this server's runs go, and of no other's.
        policy: text of the retention policy; empty for the default.
        jobs_namespace: namespace of the TrainJobs; empty: that of the run.
        dry_run: only say what would go.
    """
    clean(
        registry=registry,
        checkpoints=checkpoints,
        exposures=exposures,
        feature_store=feature_store,
        pipeline_root=pipeline_root,
        policy=policy,
        jobs_namespace=jobs_namespace,
        dry_run=dry_run,
    ).set_caching_options(False)
