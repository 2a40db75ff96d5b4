"""Gate: coverage, ranges, drift against the champion, leakage."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("validate_features"), install_kfp_package=False)
def validate_features(
    definition: str,
    champion: str,
    revision: str,
    events: Input[Dataset],
    examples: Input[Dataset],
    transformed: Input[Dataset],
    transform_graph: Input[Artifact],
    verdict: Output[Artifact],
    docs: Output[HTML],
) -> bool:
    """Gate: coverage, ranges, drift against the champion, leakage."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.validate_features.step import run
    from hemix.features.definition import DatasetDefinition
    from hemix.storage import local_copy

    with step_process():
        decision = run(
            definition=DatasetDefinition.parse(definition),
            events=Path(events.path),
            examples=Path(examples.path),
            transformed=Path(transformed.path),
            transform=Path(transform_graph.path),
            champion=local_copy(champion) if champion else None,
            out_verdict=Path(verdict.path),
            out_docs=Path(docs.path),
        )
    return decision.passed
