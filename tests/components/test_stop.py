from __future__ import annotations

from pathlib import Path

import pytest

from hemix.components.stop.step import run
from hemix.errors import GateFailed
from hemix.verdict import Check, Verdict


def test_a_failed_gate_stops_the_run_by_name(tmp_path: Path) -> None:
    check = Check.of("auc", 0.4, 0.5, "at_least")
    Verdict.of("validate_model", [check]).write(tmp_path / "verdict.json")
    with pytest.raises(GateFailed, match=r"validate_model failed: auc: 0\.4 must be at least 0\.5"):
        run(verdict=tmp_path / "verdict.json")


def test_a_passed_gate_never_leads_here(tmp_path: Path) -> None:
    check = Check.of("auc", 0.6, 0.5, "at_least")
    Verdict.of("validate_model", [check]).write(tmp_path / "verdict.json")
    with pytest.raises(AssertionError, match="told to stop"):
        run(verdict=tmp_path / "verdict.json")
