"""What is shown while a run goes."""

from __future__ import annotations

import io

from rich.console import Console

from hemix.pipelines.local.display import LineDisplay, LiveDisplay, display
from hemix.pipelines.local.execution import StepResult


def result(name: str, *, cached: bool = False, succeeded: bool = True) -> StepResult:
    return StepResult(name=name, succeeded=succeeded, cached=cached, seconds=1.25)


def test_a_log_gets_lines() -> None:
    out = io.StringIO()
    with display(Console(file=out, width=60)) as shown:
        assert isinstance(shown, LineDisplay)
        shown.told("Version v1.")
        shown.started("ingest")
        shown.said("ingest", "read [bold] 7 rows")
        shown.finished(result("ingest"))
        shown.finished(result("validate_data", cached=True))
        shown.finished(result("build_examples", succeeded=False))
    assert out.getvalue().splitlines() == [
        "Version v1.",
        "[ 1/11] ingest ...",
        "        read [bold] 7 rows",
        "[ 1/11] ingest done (1.2 s)",
        "[ 2/11] validate_data cached (1.2 s)",
        "[ 3/11] build_examples FAILED (1.2 s)",
    ]


def test_a_terminal_gets_a_table_that_ends_whole() -> None:
    out = io.StringIO()
    console = Console(file=out, width=60, force_terminal=True, color_system=None)
    with display(console) as shown:
        assert isinstance(shown, LiveDisplay)
        shown.told("Version v1.")
        shown.started("ingest")
        shown.said("ingest", "read 7 rows")
        shown.finished(result("ingest"))
        shown.started("validate_data")
        shown.finished(result("validate_data", succeeded=False))
    text = out.getvalue()
    last = text[text.rindex(" 1  ") :]
    assert "Version v1." in text
    assert "✓  ingest" in last
    assert "✗  validate_data" in last
    assert "·  report" in last
    assert "read 7 rows" not in last
