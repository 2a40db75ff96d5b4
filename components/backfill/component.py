"""Backfill: the days of a range, and the partition of one day."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("days"), install_kfp_package=False)
def days(first: str, last: str, revision: str) -> list[str]:
    """Every day from first to last, both included."""
    from hemix.components.backfill.days import days_between
    from hemix.components.process import step_process

    with step_process():
        return days_between(first, last)


@dsl.component(base_image=image_of("backfill"), install_kfp_package=False)
def backfill(
    definition: str,
    day: str,
    destination: str,
    runner_options: list[str],
    revision: str,
    events: Input[Dataset],
    partition: Output[Artifact],
) -> None:
    """Write the examples of one day as a partition; the same events again are the same bytes."""
    from pathlib import Path

    from hemix.components.backfill.step import run
    from hemix.components.process import step_process
    from hemix.features.definition import DatasetDefinition

    with step_process():
        run(
            definition=DatasetDefinition.parse(definition),
            events=Path(events.path),
            day=day,
            destination=destination,
            out_partition=Path(partition.path),
            runner_options=runner_options,
        )
