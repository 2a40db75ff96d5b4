"""Experiment: read exposures and outcomes, analyse, decide, apply; run it as often as you like."""

from kfp import dsl

from hemix.components.experiment.component import experiment as decide
from hemix.components.stop.component import stop
from hemix.pipelines.definitions.pipeline import pipeline

UNUSABLE = "unusable"


@pipeline(
    name="experiment",
    description="Analyse the running experiment and promote, roll back or continue.",
)
def experiment(
    exposures: str,
    outcomes: str,
    registry: str,
    policy: str = "",
    apply: bool = False,
    cluster: str = "",
) -> None:
    """One step; the analysis may be looked at at any time (docs/operator/experiments.md).

    Where too much of the logs was lost to judge by the rest, the run fails as at a gate.

    Args:
        exposures: location of the exposure logs.
        outcomes: location of the outcomes.
        registry: location of the model registry.
        policy: text of the experiment policy; empty for the default.
        apply: change the registry as decided; otherwise only say what would be done.
        cluster: deployment settings of the cluster that serves the registry; empty: registry only.
    """
    decided = decide(
        exposures=exposures,
        outcomes=outcomes,
        registry=registry,
        policy=policy,
        apply=apply,
        cluster=cluster,
    ).set_caching_options(False)
    with dsl.If(decided.outputs["Output"] == UNUSABLE, name="logs-cannot-be-judged-by"):
        stop(verdict=decided.outputs["verdict"], revision="").set_caching_options(False)
