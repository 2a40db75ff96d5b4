"""Gate: does the endpoint serve as it was trained? Drift, calibration, freshness, unknown ids."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("monitor"), install_kfp_package=False)
def monitor(
    exposures: str,
    outcomes: str,
    registry: str,
    feature_store: str,
    policy: str,
    verdict: Output[Artifact],
    page: Output[HTML],
) -> bool:
    """Gate: does the endpoint serve as it was trained? Drift, calibration, freshness, unknown ids."""
    from pathlib import Path

    from hemix.components.monitor.step import run
    from hemix.components.process import step_process

    with step_process():
        policy_file = Path(verdict.path).with_name("policy.yaml")
        policy_file.parent.mkdir(parents=True, exist_ok=True)
        policy_file.write_text(policy)
        decision = run(
            exposures=exposures,
            outcomes=outcomes,
            registry=registry,
            feature_store=feature_store,
            policy=policy_file if policy else None,
            out_verdict=Path(verdict.path),
            out_page=Path(page.path),
        )
    return decision.passed
