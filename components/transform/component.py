"""Fit vocabularies and buckets on the training split; turn examples into ids and numbers."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("transform"), install_kfp_package=False)
def transform(
    definition: str,
    runner_options: list[str],
    revision: str,
    examples: Input[Dataset],
    transformed: Output[Dataset],
    transform_graph: Output[Artifact],
) -> None:
    """Fit vocabularies and buckets on the training split; turn examples into ids and numbers."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.transform.step import run
    from hemix.features.definition import DatasetDefinition

    with step_process():
        run(
            definition=DatasetDefinition.parse(definition),
            examples=Path(examples.path),
            out_transformed=Path(transformed.path),
            out_transform=Path(transform_graph.path),
            runner_options=runner_options,
        )
