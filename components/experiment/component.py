"""Read exposures and outcomes, analyse, decide, and apply the decision to the registry."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("experiment"), install_kfp_package=False)
def experiment(
    exposures: str,
    outcomes: str,
    registry: str,
    policy: str,
    apply: bool,
    decision: Output[Artifact],
    verdict: Output[Artifact],
    page: Output[HTML],
    cluster: str = "",
) -> str:
    """Read exposures and outcomes, analyse, decide, and apply the decision to the registry."""
    from pathlib import Path

    from hemix.components.experiment.step import run, verdict_of
    from hemix.components.process import step_process

    with step_process():
        policy_file = Path(decision.path).with_name("policy.yaml")
        policy_file.parent.mkdir(parents=True, exist_ok=True)
        policy_file.write_text(policy)
        decided = run(
            exposures=exposures,
            outcomes=outcomes,
            registry=registry,
            policy=policy_file if policy else None,
            apply=apply,
            cluster=cluster,
            out_decision=Path(decision.path),
            out_page=Path(page.path),
        )
        verdict_of(decided).write(Path(verdict.path))
    return decided.verdict
