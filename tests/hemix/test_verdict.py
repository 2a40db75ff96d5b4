"""Verdicts decide, survive the disk, and name what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemix.errors import GateFailed
from hemix.verdict import Check, Verdict


def test_directions() -> None:
    assert Check.of("auc", 0.7, 0.6, "at_least").passed
    assert not Check.of("psi", 0.3, 0.2, "at_most").passed
    assert Check.of("pcoc", 1.0, (0.9, 1.1), "between").passed
    assert Check.of("repeats", 0, 0, "equal").passed
    assert not Check.of("auc", float("nan"), 0.6, "at_least").passed
    assert not Check.of("pcoc", float("nan"), (0.9, 1.1), "between").passed


def test_a_failed_verdict_names_check_value_threshold(tmp_path: Path) -> None:
    verdict = Verdict.of(
        "model", [Check.of("auc", 0.5, 0.6, "at_least", slice="click", sample_size=9)]
    )
    verdict.write(tmp_path / "v.json")
    assert Verdict.read(tmp_path / "v.json") == verdict
    with pytest.raises(GateFailed, match=r"auc \[click\]: 0.5 must be at least 0.6"):
        verdict.require()


def test_no_checks_is_no_pass() -> None:
    assert not Verdict.of("empty", []).passed
