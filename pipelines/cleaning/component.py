"""A step that removes what a retention policy lets go."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("clean"), install_kfp_package=False)
def clean(
    registry: str,
    checkpoints: str,
    exposures: str,
    feature_store: str,
    pipeline_root: str,
    policy: str,
    jobs_namespace: str,
    dry_run: bool,
    cleaned: Output[Artifact],
) -> None:
    """Remove what the policy lets go, and say what went; ``dry_run`` only says it."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.pipelines.cleaning.clean import Places
    from hemix.pipelines.cleaning.step import run
    from hemix.pipelines.kfp_client.api import PipelinesApi
    from hemix.pipelines.kfp_client.connection import resolve
    from hemix.serving.kubernetes.api import connect

    with step_process():
        connection = resolve()
        run(
            Places(
                registry=registry,
                checkpoints=checkpoints,
                exposures=exposures,
                feature_store=feature_store,
                pipeline_root=pipeline_root,
            ),
            policy=policy,
            dry_run=dry_run,
            api=PipelinesApi(connection),
            cluster=connect(namespace=jobs_namespace or connection.namespace or "hemix"),
            out_cleaned=Path(cleaned.path),
        )
