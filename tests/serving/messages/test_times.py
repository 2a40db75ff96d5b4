from __future__ import annotations

import time
from typing import Any

import pytest

from hemix.errors import RequestError
from hemix.serving.messages.times import milliseconds, time_flags

MOMENT = 1_718_000_123_456


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            MOMENT // 1000,
            f"{MOMENT // 1000} must be milliseconds .* seconds\\? Then give 1718000123000",
        ),
        (MOMENT * 1000, f"must be milliseconds .* microseconds\\? Then give {MOMENT}"),
        (MOMENT * 10**6, f"must be milliseconds .* nanoseconds\\? Then give {MOMENT}"),
        (MOMENT / 1000, "must be whole milliseconds .* seconds\\? Then give"),
        (float(MOMENT), f"must be whole milliseconds since 1970, UTC; give {MOMENT}"),
        (0, "0 must be milliseconds since 1970, UTC, from 1980 to 2099"),
        (1, "1 must be"),
        (-MOMENT, "must be milliseconds"),
        (10**400, "must be milliseconds"),
        (True, "True must be whole milliseconds"),
        (str(MOMENT), "must be whole milliseconds"),
        (float("nan"), "nan must be"),
        (float("-inf"), "-inf must be"),
        ([MOMENT], "must be whole"),
    ],
)
def test_another_unit_is_refused_with_what_to_give(value: Any, message: str) -> None:
    with pytest.raises(RequestError, match=f"^here: .*{message}"):
        milliseconds(value, "here")


def test_milliseconds_are_milliseconds() -> None:
    assert milliseconds(MOMENT, "here") == MOMENT


def test_times_that_features_do_not_know_are_flagged() -> None:
    now = round(time.time() * 1000)
    day = 86_400_000
    newest = [(now - 40 * day) / 1000, (now - 30 * day) / 1000]
    assert time_flags(now - 31 * day, newest) == ("time_before_features",)
    assert time_flags(now - 29 * day, newest) == ()
    assert time_flags(now, []) == ()
    assert time_flags(now + day // 2, newest) == ()
    assert time_flags(now + 2 * day, newest) == ("time_ahead",)
