"""Rolling windows: which days a scheduled training learns from and is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.progress import say

MACRO = "[[ScheduledTime]]"
_COMPACT = "%Y%m%d%H%M%S"  # what [[ScheduledTime]] of a recurring run becomes


@dataclass(frozen=True, kw_only=True)
class RollingWindows:
    """Lengths in whole days; ``delay_s`` seconds until a day's log is complete after its end."""

    train_days: int
    test_days: int
    delay_s: int = 0

    def __post_init__(self) -> None:
        if self.train_days < 1 or self.test_days < 1 or self.delay_s < 0:
            raise DefinitionError(
                f"Rolling windows of {self.train_days} training and {self.test_days} test days "
                f"with a delay of {self.delay_s} s.",
                hint="Both windows are at least one day, the delay is not negative.",
            )

    def split(self, scheduled: datetime) -> dict[str, Any]:
        """The split that ends with the last UTC day that is complete at ``scheduled``.

        The test window is the last ``test_days`` complete days, training the ``train_days`` before
        it; validation is the last tenth of training, as everywhere.
        """
        known = scheduled.astimezone(UTC) - timedelta(seconds=self.delay_s)
        end = known.replace(hour=0, minute=0, second=0, microsecond=0)
        test = end - timedelta(days=self.test_days)
        train = test - timedelta(days=self.train_days)
        return {
            "train": {"start": train.isoformat(), "end": test.isoformat()},
            "test": {"start": test.isoformat(), "end": end.isoformat()},
        }

    def roll(self, definition: DatasetDefinition, scheduled: datetime) -> DatasetDefinition:
        """``definition`` with the split of ``scheduled``."""
        split = self.split(scheduled)
        return DatasetDefinition.parse({**definition.model_dump(mode="json"), "split": split})


def scheduled_time(text: str, now: datetime) -> datetime:
    """The time a run was scheduled for: ISO 8601, or the digits that Kubeflow writes; UTC.

    Kubeflow Pipelines 2.17 hands the macro ``[[ScheduledTime]]`` on as it is
    (https://github.com/kubeflow/pipelines/issues/12494); then it is ``now``, which lies in the same
    rolling windows unless the run waited into the next day.

    Args:
        text: empty means ``now``: a run started by hand.
        now: the time of the run.

    Raises:
        DefinitionError: neither form.
    """
    if not text:
        return now.astimezone(UTC)
    if text == MACRO:
        say(f"plan: the server did not replace {MACRO}; the time of this run is taken instead")
        return now.astimezone(UTC)
    try:
        time = (
            datetime.strptime(text, _COMPACT)
            if text.isdigit() and len(text) == 14
            else datetime.fromisoformat(text)
        )
    except ValueError as error:
        raise DefinitionError(
            f"scheduled_time {text!r} is not a time.", hint="Write 2022-05-01T02:00:00, in UTC."
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
