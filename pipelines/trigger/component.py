"""A step that starts another pipeline through the API of the cluster it runs on."""

from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("trigger"), install_kfp_package=False)
def trigger(
    pipeline: str,
    parameters: dict[str, Any],
    service_account: str,
    root: str,
    verdict: Input[Artifact],
    run: Output[Artifact],
) -> None:
    """Start a pipeline because a verdict failed, unless one of its runs is still active."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.pipelines.trigger.step import start

    with step_process():
        start(
            pipeline=pipeline,
            parameters=parameters,
            service_account=service_account,
            root=root,
            verdict=Path(verdict.path),
            out_run=Path(run.path),
        )
