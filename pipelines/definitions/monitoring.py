"""Monitoring: judge how the endpoint does; when it does badly, retrain."""

from typing import Any

from kfp import dsl

from hemix.components.monitor.component import monitor
from hemix.pipelines.definitions.pipeline import PASSED, pipeline
from hemix.pipelines.trigger.component import trigger


@pipeline(
    name="monitoring",
    description="Drift, calibration, freshness, unknown ids; a verdict that fails starts retraining.",
)
def monitoring(
    exposures: str,
    outcomes: str,
    registry: str,
    feature_store: str,
    policy: str = "",
    pipeline: str = "retraining",
    parameters: dict[str, Any] = {},  # noqa: B006
    service_account: str = "hemix-deployer",
    pipeline_root: str = "",
) -> None:
    """Judge, and start a pipeline that was uploaded before, unless one of its runs is already active.

    Args:
        exposures: location of the exposure logs.
        outcomes: location of the outcomes; without any, calibration is not judged.
        registry: location of the model registry.
        feature_store: location of the live feature store.
        policy: text of the monitor policy; empty for the default.
        pipeline: what to start when the verdict fails.
        parameters: the parameters it is started with.
        service_account: of the run that is started; a retraining that deploys needs hemix-deployer.
        pipeline_root: where that run's artifacts go; empty: the server's own place.
    """
    judged = monitor(
        exposures=exposures,
        outcomes=outcomes,
        registry=registry,
        feature_store=feature_store,
        policy=policy,
    ).set_caching_options(False)
    with dsl.If(judged.outputs[PASSED] == False, name="retraining-is-due"):  # noqa: E712
        trigger(
            pipeline=pipeline,
            parameters=parameters,
            service_account=service_account,
            root=pipeline_root,
            verdict=judged.outputs["verdict"],
        ).set_caching_options(False)
