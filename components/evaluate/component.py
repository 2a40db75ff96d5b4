"""Measure the model on the test split beside its rivals and the champion."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("evaluate"), install_kfp_package=False)
def evaluate(
    definition: str,
    champion: str,
    revision: str,
    model: Input[Model],
    events: Input[Dataset],
    examples: Input[Dataset],
    transformed: Input[Dataset],
    evaluation: Output[Artifact],
) -> None:
    """Measure the model on the test split beside its rivals and the champion."""
    from pathlib import Path

    from hemix.components.evaluate.step import run
    from hemix.components.process import step_process
    from hemix.features.definition import DatasetDefinition
    from hemix.storage import local_copy

    with step_process():
        run(
            definition=DatasetDefinition.parse(definition),
            model=Path(model.path),
            events=Path(events.path),
            examples=Path(examples.path),
            transformed=Path(transformed.path),
            champion=local_copy(champion) if champion else None,
            out_evaluation=Path(evaluation.path),
        )
