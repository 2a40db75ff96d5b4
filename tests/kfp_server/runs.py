"""Runs: their states and the moves between them, and what the API tells of them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tests.kfp_server.swagger import Refused
from tests.kfp_server.timeline import Script, Timeline, timeline

_MOVES = {
    "": {"PENDING"},
    "PENDING": {"RUNNING", "CANCELING", "FAILED"},
    "RUNNING": {"SUCCEEDED", "FAILED", "CANCELING"},
    "CANCELING": {"SUCCEEDED", "FAILED", "CANCELED"},
    "FAILED": {"PENDING"},  # retried
    "CANCELED": {"PENDING"},
    "SUCCEEDED": set(),
}
ENDED = ("SUCCEEDED", "FAILED", "CANCELED")


@dataclass(kw_only=True)
class Run:
    """One run. It is PENDING when made, and RUNNING from the first moment after."""

    body: dict[str, Any]
    created: datetime
    script: Script
    spec: dict[str, Any]
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    scheduled: datetime | None = None
    recurring_run_id: str = ""
    state: str = ""
    history: list[tuple[datetime, str]] = field(default_factory=list)
    finished: datetime | None = None
    stored: str = "AVAILABLE"
    canceled: datetime | None = None

    def __post_init__(self) -> None:
        self.scheduled = self.scheduled or self.created
        self._plan: Timeline = timeline(self.spec, self.script, self.created)
        self._move("PENDING", self.created)

    @property
    def active(self) -> bool:
        return self.state not in ENDED

    @property
    def ends(self) -> datetime:
        """When it ends if it is left alone."""
        return self._plan.end

    def advance(self, now: datetime) -> None:
        """Do what is due by ``now``."""
        if self.state == "PENDING" and now > self.created:
            self._move("RUNNING", self.created)
        if self.state == "CANCELING" and self.canceled is not None and now > self.canceled:
            self._end("CANCELED", now)
        elif self.state == "RUNNING" and now >= self._plan.end:
            self._end("FAILED" if self._plan.error else "SUCCEEDED", self._plan.end)

    def terminate(self, now: datetime) -> None:
        if not self.active:
            raise Refused(400, f"Failed to terminate run {self.run_id}: it has ended")
        self.canceled = now
        self._move("CANCELING", now)

    def retry(self, now: datetime, script: Script) -> None:
        """Start a failed run again; what succeeded comes from the cache."""
        if self.state not in ("FAILED", "CANCELED"):
            raise Refused(400, f"Failed to retry run {self.run_id}: it is {self.state}")
        done = tuple(n.name for n in self._plan.nodes if n.outcome == "SUCCEEDED")
        again = replace(script, cached=(*script.cached, *done))
        self._plan = timeline(self.spec, again, now)
        self.finished = self.canceled = None
        self._move("PENDING", now)
        self.created = now

    def told(self, now: datetime) -> dict[str, Any]:
        """The run as the API tells it."""
        body = {
            **self.body,
            "run_id": self.run_id,
            "storage_state": self.stored,
            "created_at": text(self.created),
            "scheduled_at": text(self.scheduled or self.created),
            "state": self.state,
            "state_history": [
                {"update_time": text(when), "state": state} for when, state in self.history
            ],
            "run_details": {"task_details": self._details(now)},
        }
        if self.recurring_run_id:
            body["recurring_run_id"] = self.recurring_run_id
        if self.finished is not None:
            body["finished_at"] = text(self.finished)
        if self.state == "FAILED" and self._plan.error:
            body["state_history"][-1]["error"] = {"code": 2, "message": self._plan.error}
        return body

    def _details(self, now: datetime) -> list[dict[str, Any]]:
        until = min(now, self.canceled) if self.canceled else now
        details = []
        nodes = self._plan.until(until)
        pods = {id(node): f"{self.run_id}-{i}" for i, node in enumerate(nodes)}
        children = {id(n.executor_of): pods[id(n)] for n in nodes if n.executor_of is not None}
        for node in nodes:
            state = node.state(until)
            if self.canceled and state == "RUNNING":
                state = "CANCELED" if self.state == "CANCELED" else "RUNNING"
            detail: dict[str, Any] = {
                "run_id": self.run_id,
                "task_id": pods[id(node)],
                "pod_name": pods[id(node)],
                "display_name": node.name,
                "create_time": text(node.start),
                "start_time": text(node.start),
                "state": state,
            }
            if state not in ("RUNNING", "PENDING"):
                detail["end_time"] = text(node.end)
            if id(node) in children:
                detail["child_tasks"] = [{"pod_name": children[id(node)]}]
            if state == "FAILED" and node.error:
                detail["error"] = {"code": 2, "message": node.error}
            details.append(detail)
        return details

    def _end(self, state: str, when: datetime) -> None:
        self.finished = when
        self._move(state, when)

    def _move(self, state: str, when: datetime) -> None:
        assert state in _MOVES[self.state], f"a run may not go from {self.state} to {state}"
        self.state = state
        self.history.append((when, state))


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
