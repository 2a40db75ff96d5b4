"""End the run because a gate failed: on a cluster a run that deployed nothing must not look green."""

from kfp import dsl
from kfp.dsl import Artifact, Input

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("stop"), install_kfp_package=False)
def stop(revision: str, verdict: Input[Artifact]) -> None:
    """End the run because a gate failed; the error names check, value and threshold."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.stop.step import run

    with step_process():
        run(verdict=Path(verdict.path))
