"""Gate: make the Feast repository; what it serves must equal the examples bit for bit."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("register_features"), install_kfp_package=False)
def register_features(
    definition: str,
    version: str,
    online_store: str,
    revision: str,
    events: Input[Dataset],
    transform_graph: Input[Artifact],
    repository: Output[Artifact],
    verdict: Output[Artifact],
) -> bool:
    """Gate: make the Feast repository; what it serves must equal the examples bit for bit."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.register_features.step import run
    from hemix.features.definition import DatasetDefinition

    with step_process():
        decision = run(
            definition=DatasetDefinition.parse(definition),
            events=Path(events.path),
            transform=Path(transform_graph.path),
            version=version,
            out_repository=Path(repository.path),
            out_verdict=Path(verdict.path),
            online_store=online_store,
        )
    return decision.passed
