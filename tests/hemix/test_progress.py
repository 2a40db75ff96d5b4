"""Progress lines: counts, totals and rates that read well."""

from __future__ import annotations

import doctest
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from hemix import progress

Told = Callable[..., list[str]]


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(progress).failed == 0


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """The lines of a progress whose clock moves on by so many seconds each time it is read."""

    def call(items: Iterable[int], label: str, seconds: float, **named: Any) -> list[str]:
        monkeypatch.delenv(progress.PREFIX, raising=False)
        clock = itertools.count(step=seconds)
        monkeypatch.setattr("hemix.progress.time.monotonic", lambda: next(clock))
        for _ in progress.progress(items, label, **named):
            pass
        return capsys.readouterr().out.splitlines()

    return call


def test_rows_are_counted_not_items(told: Told) -> None:
    assert told([1000, 3000], "rows", 10, total=4000, size=lambda rows: rows) == [
        "rows 1,000/4,000 (100/s, 30 s left)",
        "rows 4,000/4,000 (200/s, 0 s left)",
        "rows 4,000 done in 30.0 s",
    ]


def test_items_are_handed_on() -> None:
    assert list(progress.progress([3, 1, 2], "items")) == [3, 1, 2]


def test_without_a_total_nothing_is_promised(told: Told) -> None:
    assert told(iter([1, 2]), "files", 60)[0] == "files 1 (60 s each)"
