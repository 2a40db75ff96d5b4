"""Opens on silence, bears slowness for a while, tries one at a time, says each change once."""

from __future__ import annotations

import logging

import pytest

from hemix.breaker import Breaker


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock, changes: list[bool]) -> Breaker:
    return Breaker(
        *("a shelf",), failures=3, over_s=1.0, slow_s=4.0, rest_s=2.0, changed=changes.append,
        clock=clock,
    )  # fmt: skip


def test_it_opens_after_failures_in_a_row_that_last(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    changes: list[bool] = []
    breaker = made(clock, changes)
    for _ in range(9):
        assert not breaker.failed("silence")
    assert breaker.allows(), "nine failures of one moment are no outage"
    clock.now += 0.5
    breaker.succeeded()
    clock.now += 0.9
    assert not breaker.failed("silence")
    clock.now += 0.9
    assert not breaker.failed("silence"), "the row began anew at the success"
    clock.now += 0.2
    with caplog.at_level(logging.INFO, logger="hemix.serving"):
        assert breaker.failed("silence")
        for _ in range(100):
            breaker.failed("silence")
            assert not breaker.allows()
        assert len(caplog.records) == 1
        assert "a shelf is left alone" in caplog.text
        clock.now += 7
        breaker.succeeded()
        breaker.succeeded()
        assert len(caplog.records) == 2
        assert "a shelf answers again, after 7.0 s" in caplog.text
    assert changes == [True, False]
    assert breaker.allows()


def test_one_trial_a_rest_and_a_failed_one_rests_again() -> None:
    clock = Clock()
    changes: list[bool] = []
    breaker = made(clock, changes)
    for _ in range(3):
        breaker.failed("no", took_s=1.0)
    assert [breaker.allows() for _ in range(3)] == [False] * 3
    clock.now += 2.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed("no")
    clock.now += 1.9
    assert not breaker.allows()
    clock.now += 0.2
    assert breaker.allows(), "one whose trial never reports does not hold it open for ever"
    clock.now += 2.1
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_late_answers_are_borne_longer_than_silence() -> None:
    clock = Clock()
    changes: list[bool] = []
    breaker = made(clock, changes)
    for _ in range(7):
        clock.now += 0.5
        assert not breaker.failed("late", took_s=0.5)
        breaker.late()
    assert breaker.allows(), "3.5 s of late answers"
    clock.now += 0.6
    assert breaker.failed("late", took_s=0.5)
    assert changes == [True]
