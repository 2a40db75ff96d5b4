"""What a person sees while a run on the cluster goes: a live table, or lines in a log."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hemix.pipelines.kfp_client.following import RunProgress, TaskProgress, is_stop

_MARKS = {
    "succeeded": ("✓", "green", "green"),
    "cached": ("✓", "green", "dim"),
    "failed": ("✗", "bold red", "bold red"),
    "skipped": ("-", "dim", "dim"),
    "pending": ("·", "dim", "dim"),
    "waiting": ("·", "dim", "dim"),
}


def watching(console: Console) -> LiveWatcher | LineWatcher:
    """The watcher that suits where the output goes."""
    return LiveWatcher(console) if console.is_terminal else LineWatcher(console)


class LineWatcher:
    """One line for each change of a task, and one for each change of the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, str] = {}

    def __enter__(self) -> LineWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, progress: RunProgress) -> None:
        if not progress.ended:  # the command tells the end, with its reason
            self._tell("", progress.state, f"Run {progress.run_id}: {progress.state.lower()}")
        shown = _shown(progress)
        for number, task in enumerate(shown, start=1):
            if task.state in ("waiting", "skipped"):
                continue
            ended = task.state in ("succeeded", "failed")
            notes = [*_done(task), *([f"{task.seconds:.0f} s"] if ended else [])]
            line = f"[{number:2d}/{len(shown)}] {task.name} {task.state}"
            line += f" ({', '.join(notes)})" if notes else ""
            line += f": {task.error}" if task.error else ""
            self._tell(task.name, f"{task.state} {task.done}", line)

    def _tell(self, what: str, state: str, line: str) -> None:
        if self._seen.get(what) != state:
            self._seen[what] = state
            self._console.print(Text(line), soft_wrap=True)
            self._console.file.flush()


class LiveWatcher:
    """A table of all tasks that moves."""

    def __init__(self, console: Console) -> None:
        self._progress: RunProgress | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> LiveWatcher:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def update(self, progress: RunProgress) -> None:
        self._progress = progress

    def _render(self) -> RenderableType:
        if self._progress is None:
            return Text("Waiting for the server ...", style="dim")
        table = Table.grid(padding=(0, 2))
        for number, task in enumerate(_shown(self._progress), start=1):
            table.add_row(Text(f"{number:2d}", style="dim"), *self._row(task))
        head = Text(f"Run {self._progress.run_id}: {self._progress.state.lower()}")
        return Group(head, table)

    def _row(self, task: TaskProgress) -> tuple[RenderableType, RenderableType, RenderableType]:
        seconds = ", ".join([*_done(task), f"{task.seconds:.0f} s"])
        if task.state == "running":
            return self._spinner, Text(task.name, style="bold"), Text(seconds, style="cyan")
        mark, mark_style, style = _MARKS[task.state]
        note = {"succeeded": seconds, "failed": task.error or seconds, "cached": "cached"}
        return (
            Text(mark, style=mark_style),
            Text(task.name, style=style),
            Text(note.get(task.state, ""), style="dim"),
        )


def _done(task: TaskProgress) -> list[str]:
    """How much of a loop is done; nothing for a task of its own."""
    return [f"{task.done} of {task.begun} done"] if task.begun > 1 else []


def _shown(progress: RunProgress) -> list[TaskProgress]:
    """Tasks that are there to stop a run are shown when they do."""
    return [
        task
        for task in progress.tasks
        if not (is_stop(task.name) and task.state in ("waiting", "skipped"))
    ]
