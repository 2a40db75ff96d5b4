"""Progress lines: counts, totals and rates that read well."""

from __future__ import annotations

import doctest
import itertools

import pytest

from hemix import progress


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(progress).failed == 0


def test_rows_are_counted_not_items(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.PREFIX, raising=False)
    clock = itertools.count(step=10.0)
    monkeypatch.setattr("hemix.progress.time.monotonic", lambda: next(clock))
    items = [1000, 3000]
    assert list(progress.progress(items, "rows", total=4000, size=lambda n: n)) == items
    assert capsys.readouterr().out.splitlines() == [
        "rows 1,000/4,000 (100/s, 30 s left)",
        "rows 4,000/4,000 (200/s, 0 s left)",
        "rows 4,000 done in 30.0 s",
    ]


def test_without_a_total_nothing_is_promised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.PREFIX, raising=False)
    clock = itertools.count(step=60.0)
    monkeypatch.setattr("hemix.progress.time.monotonic", lambda: next(clock))
    list(progress.progress(iter("ab"), "files"))
    assert capsys.readouterr().out.splitlines()[0] == "files 1 (60 s each)"
