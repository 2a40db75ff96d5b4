"""``hemix compare``: several runs in one table and one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hemix.components.pages.drawing import save_svg
from hemix.texts.shown import shown

if TYPE_CHECKING:
    from hemix.components.evaluate.results import Interval
    from hemix.pipelines.local.compare import ComparedRun


def compare_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two or more: output folders (their latest run), or records DIR/runs/VERSION.json.",
        ),
    ],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.svg", help="Draw the AUCs with their intervals."),
    ] = None,
) -> None:
    """Compare runs: metrics with 95 % intervals, and paired gaps to the first on the same test rows.

    [bold]Example[/bold]

      hemix compare runs/mine/runs/V1.json runs/mine/runs/V2.json --picture auc.svg
    """
    from hemix.pipelines.local.compare import chart, compare, tasks_of

    found = compare(runs)
    console = Console()
    for task in tasks_of(found):
        console.print(_table(task, found))
    for run in found:
        if run.note:
            console.print(f"{shown(run.label)}: {run.note}.", markup=False, soft_wrap=True)
    if picture is not None:
        save_svg(chart(found, "auc", "AUC"), picture)
        console.print(f"Wrote {shown(picture)}.", markup=False, soft_wrap=True)


def _table(task: str, runs: tuple[ComparedRun, ...]) -> Table:
    from hemix.components.report.quality import METRICS

    measured = [name for name in METRICS if any(_value(run.metric(task, name)) for run in runs)]
    table = Table(title=shown(task), title_justify="left")
    table.add_column("")
    for run in runs:
        table.add_column(shown(run.label), justify="right", overflow="fold")
    table.add_row("trained with", *(shown(run.record.parameters.get("recipe", "")) for run in runs))
    table.add_row(
        "tested on",
        *(f"{r.results.window_start:%d %b} to {r.results.window_end:%d %b %Y}" for r in runs),
    )
    table.add_row("test rows", *(f"{run.results.rows:,}" for run in runs), end_section=True)
    for name in measured:
        table.add_row(METRICS[name][0], *(_cell(run, task, name) for run in runs))
    return table


def _cell(run: ComparedRun, task: str, name: str) -> str:
    text = _value(run.metric(task, name))
    gap = run.gaps.get(task, {}).get(name)
    return text if gap is None or gap.value is None else f"{text}\n{_span(gap, '+.4f')}"


def _value(found: Interval | None) -> str:
    return "" if found is None or found.value is None else _span(found, ".4f")


def _span(found: Any, form: str) -> str:
    ends = "" if found.low is None else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.value:{form}}{ends}"
