"""Recurring runs: when they fire, after KFP's ScheduledWorkflow controller.

The next time follows from the last one that fired, else from the start time, else from the creation;
a schedule without catch-up then skips to the last missed time (cron) or to now (interval). It fires
when that time is past, the schedule is enabled and fewer than ``max_concurrency`` of its runs are
active; one run a pass, and a pass follows each run that was made or that ended.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.kfp_server import cron
from tests.kfp_server.runs import text
from tests.kfp_server.swagger import Refused


@dataclass(kw_only=True)
class Schedule:
    """One recurring run."""

    body: dict[str, Any]
    created: datetime
    enabled: bool
    recurring_run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    updated: datetime | None = None
    last: datetime | None = None
    index: int = 0

    @property
    def max_concurrency(self) -> int:
        return int(self.body["max_concurrency"])

    def due(self, now: datetime, active: int) -> datetime | None:
        """The scheduled time of the run to make now, or None."""
        upcoming = self.next(now)
        if upcoming is None or upcoming > now or not self.enabled or active >= self.max_concurrency:
            return None
        return upcoming

    def next(self, now: datetime) -> datetime | None:
        """The next scheduled time, perhaps past; None when the schedule is over."""
        trigger = self.body["trigger"]
        if "cron_schedule" in trigger:
            return self._next_cron(trigger["cron_schedule"], now)
        return self._next_interval(trigger["periodic_schedule"], now)

    def fired(self, scheduled: datetime) -> None:
        self.last = scheduled
        self.index += 1

    def told(self) -> dict[str, Any]:
        return {
            **{key: value for key, value in self.body.items() if key != "mode"},
            "recurring_run_id": self.recurring_run_id,
            "created_at": text(self.created),
            "updated_at": text(self.updated or self.created),
            "status": "ENABLED" if self.enabled else "DISABLED",
            "mode": "ENABLE" if self.enabled else "DISABLE",
        }

    def _next_cron(self, trigger: dict[str, Any], now: datetime) -> datetime | None:
        schedule = cron.parse(trigger["cron"])
        start, end = _time(trigger.get("start_time")), _time(trigger.get("end_time"))
        since = max(t for t in (self.last or start or self.created, start) if t is not None)
        upcoming = schedule.next(since)
        if upcoming is None or (end is not None and end < upcoming):
            return None
        if not self.body.get("no_catchup"):
            return upcoming
        while True:
            later = schedule.next(upcoming)
            if later is None or later > now or (end is not None and later > end):
                return upcoming
            upcoming = later

    def _next_interval(self, trigger: dict[str, Any], now: datetime) -> datetime | None:
        interval = timedelta(seconds=int(trigger["interval_second"]))
        start, end = _time(trigger.get("start_time")), _time(trigger.get("end_time"))
        since = self.last or start or self.created
        if start is not None and start > since:
            upcoming = start
        else:
            upcoming = since + interval
            if end is not None and end < upcoming:
                return None
        if self.body.get("no_catchup") and now >= upcoming + interval:
            return end if end is not None and end < now else now
        return upcoming


def check(body: dict[str, Any]) -> None:
    """Refuse what KFP refuses when a recurring run is made."""
    if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
        raise Refused(
            400,
            "The max concurrency of the recurring run is out of range. Support 1-10. "
            f"Received {body.get('max_concurrency')}",
        )
    trigger = body.get("trigger") or {}
    if "cron_schedule" in trigger:
        cron.parse(trigger["cron_schedule"].get("cron", ""))
    elif "periodic_schedule" in trigger:
        interval = int(trigger["periodic_schedule"].get("interval_second", 0))
        if interval < 1:
            raise Refused(
                400,
                f"Found invalid period schedule interval {interval}. Set at interval to least 1 "
                "second.",
            )
    else:
        raise Refused(400, "A recurring run needs a trigger")
    if body.get("mode") not in ("ENABLE", "DISABLE"):
        raise Refused(400, "Invalid recurring run mode")


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value.replace("Z", "+00:00")) if value else None
