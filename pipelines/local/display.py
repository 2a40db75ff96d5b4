"""What a person sees while a run goes: a live table on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hemix.components.steps import STEPS
from hemix.pipelines.local.execution import StepResult

_LINES = 4


def display(console: Console) -> LiveDisplay | LineDisplay:
    """The display that suits where the output goes."""
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


class LineDisplay:
    """One line when a step starts, one for each of its own remarks, one when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def told(self, line: str) -> None:
        self._print(line)

    def started(self, step: str) -> None:
        self._print(f"{_place(step)} {step} ...")

    def said(self, step: str, line: str) -> None:
        self._print(f"        {line}")

    def finished(self, result: StepResult) -> None:
        end = "FAILED" if not result.succeeded else "cached" if result.cached else "done"
        self._print(f"{_place(result.name)} {result.name} {end} ({result.seconds:.1f} s)")

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()


class LiveDisplay:
    """A table of all steps that moves, with the last remarks of the running step beneath."""

    def __init__(self, console: Console) -> None:
        self._results: dict[str, StepResult] = {}
        self._running: str | None = None
        self._since = 0.0
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._render,
        )

    def __enter__(self) -> LiveDisplay:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running = None
        self._lines.clear()
        self._live.__exit__(kind, error, trace)

    def told(self, line: str) -> None:
        self._live.console.print(Text(line), soft_wrap=True)

    def started(self, step: str) -> None:
        self._running, self._since = step, time.monotonic()
        self._lines.clear()

    def said(self, step: str, line: str) -> None:
        self._lines.append(line)

    def finished(self, result: StepResult) -> None:
        self._results[result.name] = result
        self._running = None

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for number, step in enumerate(STEPS, start=1):
            table.add_row(Text(f"{number:2d}", style="dim"), *self._row(step))
        remarks = [Text(f"    {line}", style="dim", no_wrap=True) for line in self._lines]
        return Group(table, *remarks)

    def _row(self, step: str) -> tuple[RenderableType, RenderableType, RenderableType]:
        if result := self._results.get(step):
            mark = Text("✓", style="green") if result.succeeded else Text("✗", style="bold red")
            note = "cached" if result.cached else f"{result.seconds:.1f} s"
            return mark, Text(step), Text(note, style="dim")
        if step == self._running:
            seconds = f"{time.monotonic() - self._since:.0f} s"
            return self._spinner, Text(step, style="bold"), Text(seconds, style="cyan")
        return Text("·", style="dim"), Text(step, style="dim"), Text("")


def _place(step: str) -> str:
    return f"[{STEPS.index(step) + 1:2d}/{len(STEPS)}]"
