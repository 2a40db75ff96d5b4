"""Runs that the server believes to be running and that nothing runs any more.

Whoever deletes a run's workflow, by hand or by cleaning up, leaves its record "running" for ever. A
step and all its attempts have a time limit, which is compiled into the pipeline; a run in which
nothing began or ended for longer than the longest of them is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hemix.pipelines.kfp_client.following import ENDED

UNSAID = timedelta(days=2)
"""For a pipeline that says no limit."""
SLACK = timedelta(hours=1)
"""Between two steps: drivers, pods that are scheduled."""


def is_lost(run: Any, spec: dict[str, Any], now: datetime) -> bool:
    """Whether a run that has not ended shows no sign of life for longer than any step may take.

    Args:
        run: as the server tells it, with its tasks.
        spec: its pipeline spec.
        now: with a time zone.
    """
    return run.state not in ENDED and now - last_sign(run) > longest(spec) + SLACK


def last_sign(run: Any) -> datetime:
    """When something of the run began or ended last."""
    tasks = (run.run_details.task_details if run.run_details else None) or ()
    times = [run.created_at, *(t for d in tasks for t in (d.create_time, d.start_time, d.end_time))]
    return max(_aware(time) for time in times if time is not None)


def longest(spec: dict[str, Any]) -> timedelta:
    """The longest time that a step of a pipeline may take, with all its attempts."""
    return max(_windows(spec), default=UNSAID)


def _windows(value: Any) -> Iterator[timedelta]:
    if isinstance(value, dict):
        said = (value.get("retryPolicy") or {}).get("backoffMaxDuration", "")
        if str(said).endswith("s"):
            yield timedelta(seconds=float(str(said)[:-1]))
        for inner in value.values():
            yield from _windows(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _windows(inner)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
