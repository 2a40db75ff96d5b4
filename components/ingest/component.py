"""Read the log that the definition names into events."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("ingest"), install_kfp_package=False)
def ingest(
    definition: str,
    source_fingerprint: str,
    revision: str,
    events: Output[Dataset],
) -> None:
    """Read the log that the definition names into events."""
    from pathlib import Path

    from hemix.components.ingest.step import run
    from hemix.components.process import step_process
    from hemix.features.definition import DatasetDefinition

    with step_process():
        run(definition=DatasetDefinition.parse(definition), out_events=Path(events.path))
