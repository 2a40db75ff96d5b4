"""End a run whose gate failed."""

from __future__ import annotations

from pathlib import Path

from hemix.verdict import Verdict


def run(*, verdict: Path) -> None:
    """Raise what the gate found.

    A verdict that passed leads here only through a wrong pipeline; that is an error of ours.

    Raises:
        GateFailed: names each failed check, its value and its threshold.
    """
    found = Verdict.read(verdict)
    found.require()
    raise AssertionError(f"gate {found.gate} passed, yet the run was told to stop")
