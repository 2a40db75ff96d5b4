"""Backfill: the examples of a range of days, each an idempotent partition."""

from kfp import dsl

from hemix.components.backfill.component import backfill as backfill_day
from hemix.components.backfill.component import days
from hemix.components.ingest.component import ingest
from hemix.pipelines.definitions.pipeline import pipeline

PARALLELISM = 4
"""Days at the same time; kfp fixes it when it compiles."""


@pipeline(
    name="backfill",
    description="Write the examples of a range of days, one partition a day; again changes nothing.",
)
def backfill(
    definition: str,
    source_fingerprint: str,
    revision: str,
    first: str,
    last: str,
    destination: str,
    runner_options: list[str] = [],  # noqa: B006
) -> None:
    """Read the log once, then write each day's partition, several at a time.

    Args:
        definition: data set definition as JSON; its split does not matter.
        source_fingerprint: what the log's files were when the run began.
        revision: digest of the source code.
        first: first UTC day, YYYY-MM-DD.
        last: last UTC day, included.
        destination: folder or s3:// prefix of the partitions.
        runner_options: Beam pipeline options.
    """
    events = ingest(
        definition=definition, source_fingerprint=source_fingerprint, revision=revision
    ).outputs["events"]
    range_ = days(first=first, last=last, revision=revision)
    with dsl.ParallelFor(range_.output, name="days", parallelism=PARALLELISM) as day:
        backfill_day(
            definition=definition,
            day=day,
            destination=destination,
            runner_options=runner_options,
            revision=revision,
            events=events,
        ).set_caching_options(False)
