"""Gate: do the events hold what the definition promises?"""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("validate_data"), install_kfp_package=False)
def validate_data(
    definition: str,
    revision: str,
    events: Input[Dataset],
    verdict: Output[Artifact],
    docs: Output[HTML],
) -> bool:
    """Gate: do the events hold what the definition promises?"""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.validate_data.step import run
    from hemix.features.definition import DatasetDefinition

    with step_process():
        decision = run(
            definition=DatasetDefinition.parse(definition),
            events=Path(events.path),
            out_verdict=Path(verdict.path),
            out_docs=Path(docs.path),
        )
    return decision.passed
