"""Build one example an interaction from what was known before it."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("build_examples"), install_kfp_package=False)
def build_examples(
    definition: str,
    runner_options: list[str],
    revision: str,
    events: Input[Dataset],
    examples: Output[Dataset],
) -> None:
    """Build one example an interaction from what was known before it."""
    from pathlib import Path

    from hemix.components.build_examples.step import run
    from hemix.components.process import step_process
    from hemix.features.definition import DatasetDefinition

    with step_process():
        run(
            definition=DatasetDefinition.parse(definition),
            events=Path(events.path),
            out_examples=Path(examples.path),
            runner_options=runner_options,
        )
