"""What the tests of schedules share: their clock, and what ran when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.kfp_server import KfpServer

START = datetime(2022, 5, 2, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = 3600.0


def times(kfp: KfpServer) -> list[str]:
    """Day and hour that each run was scheduled for, in the order they were made."""
    return [f"{run.scheduled:%d %H:%M}" for run in kfp.runs.values() if run.scheduled]


def states(kfp: KfpServer) -> list[str]:
    return [run.state for run in kfp.runs.values()]
