"""Following a run: which task is where, until the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from hemix.errors import EnvironmentProblem, GateFailed
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.errors import AccessDenied, RunCanceled, RunFailed, StillRunning

TaskState = Literal["waiting", "pending", "running", "succeeded", "cached", "failed", "skipped"]

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
EXECUTOR = "executor"
STOP = "stop"  # tasks of this name end a run whose gate failed
_STATES: dict[str, TaskState] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELING": "running",
    "CANCELED": "failed",
    "PAUSED": "pending",
}
# What several executions of one task (a loop's, a retry's) are together.
_WORST: tuple[TaskState, ...] = (
    "failed",
    "running",
    "pending",
    "succeeded",
    "cached",
    "skipped",
)


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

    KFP lists a node for each task, and beside it drivers, groups and, as a child of the task, the
    executor: the pod itself. The executor says why a task failed, and it is skipped when the task
    was found in the cache.
    """
    details = (run.run_details.task_details if run.run_details else None) or ()
    ended = (run.state or "") in ENDED
    by_pod = {detail.pod_name: detail for detail in details if detail.pod_name}
    found: dict[str, list[_Execution]] = {name: [] for name in tasks}
    for detail in details:
        if detail.display_name in found:
            pods = [by_pod.get(child.pod_name) for child in detail.child_tasks or ()]
            executors = [p for p in pods if p is not None and p.display_name.startswith(EXECUTOR)]
            found[detail.display_name].append(_Execution(detail, executors))
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


@dataclass(frozen=True)
class _Execution:
    """A task's node and the nodes of its pods."""

    node: Any
    executors: Sequence[Any]

    @property
    def state(self) -> TaskState:
        state = _STATES.get(self.node.state or "PENDING", "pending")
        skipped = [executor.state == "SKIPPED" for executor in self.executors]
        return "cached" if state == "succeeded" and skipped and all(skipped) else state

    @property
    def error(self) -> str:
        failed = [one for one in (self.node, *self.executors) if one.state == "FAILED"]
        return next((text for one in failed if (text := _message(one.error))), "")


def _task(name: str, executions: Sequence[_Execution], ended: bool) -> TaskProgress:
    if not executions:
        return TaskProgress(name=name, state="skipped" if ended else "waiting")
    states = [execution.state for execution in executions]
    nodes = [execution.node for execution in executions]
    starts = [n.start_time or n.create_time for n in nodes if n.start_time or n.create_time]
    ends = [node.end_time for node in nodes if node.end_time]
    seconds = 0.0
    if starts:
        until = max(ends) if len(ends) == len(nodes) else datetime.now(starts[0].tzinfo)
        seconds = max(0.0, (until - min(starts)).total_seconds())
    return TaskProgress(
        name=name,
        state=next(state for state in _WORST if state in states),
        seconds=seconds,
        error=next((execution.error for execution in executions if execution.error), ""),
        begun=len(nodes),
        done=sum(state in ("succeeded", "cached") for state in states),
    )


def _error(run: Any) -> str:
    history = [h.error for h in run.state_history or () if h.error]
    return _message(run.error) or (_message(history[-1]) if history else "")


def _message(error: Any) -> str:
    text = (error.message or "") if error is not None else ""
    return " ".join(text.split())[:500].rstrip(".")
