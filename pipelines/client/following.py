"""Following a run: which task is where, until the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from hemix.errors import EnvironmentProblem, GateFailed
from pipelines.client.api import PipelinesApi
from pipelines.client.errors import AccessDenied, RunCanceled, RunFailed, StillRunning

TaskState = Literal["waiting", "pending", "running", "succeeded", "cached", "failed", "skipped"]

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
STOP = "stop"  # tasks of this name end a run whose gate failed
_STATES: dict[str, TaskState] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "cached",  # the driver found the task's outputs in the cache
    "FAILED": "failed",
    "CANCELING": "running",
    "CANCELED": "failed",
    "PAUSED": "pending",
}
# What several executions of one task (a loop's, a retry's) are together.
_WORST: tuple[TaskState, ...] = ("failed", "running", "pending", "succeeded", "cached")


@dataclass(frozen=True, kw_only=True)
class TaskProgress:
    """One task: ``seconds`` since it started, to its end or until now.

    A task in a loop has ``begun`` executions, of which ``done`` succeeded.
    """

    name: str
    state: TaskState
    seconds: float = 0.0
    error: str = ""
    begun: int = 0
    done: int = 0


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """A run at one moment; ``state`` is the server's word (RUNNING, SUCCEEDED, ...)."""

    run_id: str
    state: str
    tasks: tuple[TaskProgress, ...]
    error: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Watcher(Protocol):
    """Who wants to see how a run goes."""

    def update(self, progress: RunProgress) -> None: ...


def progress_of(run: Any, tasks: Sequence[str]) -> RunProgress:
    """Read a run as the server tells it; ``tasks`` are those that its pipeline has.

    Drivers and groups of tasks, which KFP also lists, are left out.
    """
    details = (run.run_details.task_details if run.run_details else None) or ()
    ended = (run.state or "") in ENDED
    found: dict[str, list[Any]] = {name: [] for name in tasks}
    for detail in details:
        if detail.display_name in found:
            found[detail.display_name].append(detail)
    return RunProgress(
        run_id=run.run_id,
        state=run.state or "PENDING",
        tasks=tuple(_task(name, found[name], ended) for name in tasks),
        error=_error(run),
    )


def follow(
    api: PipelinesApi,
    run_id: str,
    tasks: Sequence[str],
    watcher: Watcher,
    *,
    every_s: float = 5.0,
    patience_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> RunProgress:
    """Watch a run to its end.

    Args:
        api: the server.
        run_id: which run.
        tasks: the names of its pipeline's tasks.
        watcher: is told after each look.
        every_s: seconds between looks.
        patience_s: seconds to wait at most; None waits as long as it takes.
        sleep: how to wait; tests have no time.
        clock: seconds that only grow.

    Raises:
        StillRunning: patience is over; the run goes on.
        AccessDenied, EnvironmentProblem: the server cannot be asked any more; the run goes on.
    """
    start = clock()
    while True:
        try:
            run = api.read(api.runs.run_service_get_run, run_id=run_id)
        except (AccessDenied, EnvironmentProblem) as error:
            raise type(error)(
                f"{error.message} Run {run_id} goes on without being followed.",
                hint=f"{error.hint} Then: hemix submit --attach {run_id}",
            ) from error
        progress = progress_of(run, tasks)
        watcher.update(progress)
        if progress.ended:
            return progress
        if patience_s is not None and clock() - start >= patience_s:
            raise StillRunning(
                f"Run {run_id} is still {progress.state.lower()} after {patience_s:.0f} s.",
                hint=f"It goes on. Follow it again: hemix submit --attach {run_id}",
            )
        sleep(every_s)


def require_success(
    progress: RunProgress, page: str, gates: Mapping[str, str] | None = None
) -> None:
    """Return when the run succeeded.

    Args:
        progress: of a run that ended.
        page: where a person sees more.
        gates: task -> the gate whose verdict opened its block, to name the gate.

    Raises:
        GateFailed: a gate stopped it.
        RunCanceled: somebody did.
        RunFailed: a task broke, or the run could not start.
    """
    if progress.state == "SUCCEEDED":
        return
    hint = f"See {page}"
    if progress.state == "CANCELED":
        raise RunCanceled(f"Run {progress.run_id} was canceled.", hint=hint)
    failed = [task for task in progress.tasks if task.state == "failed"]
    gate = next((task for task in failed if is_stop(task.name)), None)
    if gate is not None:
        which = (gates or {}).get(gate.name, gate.name)
        raise GateFailed(
            f"Gate {which} stopped run {progress.run_id}; nothing was deployed.", hint=hint
        )
    if failed:
        what = "; ".join(f"{t.name}: {t.error}" if t.error else t.name for t in failed)
        raise RunFailed(f"Run {progress.run_id} failed in {what}.", hint=hint)
    why = progress.error or f"the server says {progress.state} and names no task"
    raise RunFailed(f"Run {progress.run_id} failed: {why}.", hint=hint)


def is_stop(task: str) -> bool:
    """Whether this task is there to end a run whose gate failed."""
    return task == STOP or task.startswith(f"{STOP}-")


def _task(name: str, details: Sequence[Any], ended: bool) -> TaskProgress:
    if not details:
        return TaskProgress(name=name, state="skipped" if ended else "waiting")
    states = {_STATES.get(detail.state or "PENDING", "pending") for detail in details}
    worst = next(state for state in _WORST if state in states)
    starts = [d.start_time or d.create_time for d in details if d.start_time or d.create_time]
    ends = [d.end_time for d in details if d.end_time]
    seconds = 0.0
    if starts:
        until = max(ends) if ends and len(ends) == len(details) else datetime.now(starts[0].tzinfo)
        seconds = max(0.0, (until - min(starts)).total_seconds())
    errors = [_message(d.error) for d in details if d.error and d.state == "FAILED"]
    return TaskProgress(
        name=name,
        state=worst,
        seconds=seconds,
        error=next(iter(errors), ""),
        begun=len(details),
        done=sum(detail.state in ("SUCCEEDED", "SKIPPED") for detail in details),
    )


def _error(run: Any) -> str:
    history = [h.error for h in run.state_history or () if h.error]
    return _message(run.error) or (_message(history[-1]) if history else "")


def _message(error: Any) -> str:
    text = (error.message or "") if error is not None else ""
    return " ".join(text.split())[:500].rstrip(".")
