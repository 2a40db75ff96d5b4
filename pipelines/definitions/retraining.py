"""Retraining on a schedule: work out windows, version and champion when it runs, then train."""

from kfp import dsl

from hemix.components.plan.component import plan
from hemix.pipelines.definitions.pipeline import PASSED, pipeline
from hemix.pipelines.definitions.training import training


@pipeline(
    name="retraining",
    description="Train on a rolling window that ends at the scheduled time; nothing new is no run.",
    uses=(training,),
)
def retraining(
    definition: str,
    registry: str,
    feature_store: str,
    checkpoints: str,
    scheduled_time: str = "",
    train_days: int = 28,
    test_days: int = 2,
    availability_delay_s: int = 21600,
    recipe: str = "compact",
    overrides: dict[str, str] = {},  # noqa: B006
    policy: str = "",
    share: float = 0.1,
    cluster: str = "",
    online_store: str = "sqlite",
    runner_options: list[str] = [],  # noqa: B006
    training_cluster: str = "",
    running_experiment: str = "wait",
) -> None:
    """Plan, and train when the registry does not hold the planned version yet.

    Args:
        definition: data set definition as JSON; its split is replaced.
        registry: location of the model registry.
        feature_store: location of the live feature store.
        checkpoints: location of interrupted trainings.
        scheduled_time: time of the schedule, UTC: ISO 8601 or YYYYMMDDhhmmss; empty for now.
        train_days: days of training and validation before the test window.
        test_days: last complete days before the scheduled time.
        availability_delay_s: seconds after midnight until a day's log is complete.
        recipe: name of the training recipe.
        overrides: recipe fields to set, as text.
        policy: text of the model policy; empty for the default.
        share: share of users of a challenger.
        cluster: deployment settings of a Kubernetes cluster that serves it; empty: registry only.
        online_store: where features are served from.
        runner_options: where Beam runs (features/beam/runner_config.py).
        training_cluster: settings of a training on several nodes (TrainCluster); empty for none.
        running_experiment: what becomes of an experiment that runs: wait, replace or queue.
    """
    planning = plan(
        definition=definition,
        scheduled_time=scheduled_time,
        train_days=train_days,
        test_days=test_days,
        availability_delay_s=availability_delay_s,
        recipe=recipe,
        overrides=overrides,
        registry=registry,
        checkpoints=checkpoints,
        running_experiment=running_experiment,
    )
    planned = planning.set_caching_options(False).outputs
    with dsl.If(planned[PASSED] == True, name="version-is-new"):  # noqa: E712
        training(
            definition=planned["definition"],
            events_definition=planned["events_definition"],
            source_fingerprint=planned["source_fingerprint"],
            version=planned["version"],
            feature_service=planned["feature_service"],
            revision=planned["revision"],
            registry=registry,
            feature_store=feature_store,
            checkpoints=planned["checkpoints"],
            recipe=recipe,
            overrides=overrides,
            champion=planned["champion"],
            policy=policy,
            share=share,
            cluster=cluster,
            online_store=online_store,
            runner_options=runner_options,
            deployment_key=planned["version"],
            training_cluster=training_cluster,
            running_experiment=running_experiment,
        )
