"""Cron with and without seconds, intervals, times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import DefinitionError
from hemix.pipelines.kfp_client import triggers
from tests.kfp_server.cron import parse
from tests.kfp_server.swagger import Refused


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  */5  *  * * *", "0 */5 * * * *"),
        ("30 0 3 * * *", "30 0 3 * * *"),
        ("0 3 * * mon-fri", "0 0 3 * * mon-fri"),
        ("0 3 1,15 jan ?", "0 0 3 1,15 jan ?"),
        ("@daily", "@daily"),
    ],
)
def test_five_fields_get_their_seconds(said: str, sent: str) -> None:
    assert triggers.cron(said) == sent


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("0 3 * * *", 24),
        ("@hourly", 1),
        ("*/15 * * * *", 0.25),
        ("0 3 * * mon,thu", 4 * 24),
        ("0 9-17 * * 1-5", 2 * 24 + 16),
        ("0 0 1 * *", 31 * 24),
        ("0 3 1 * 1", 7 * 24),
    ],
)
def test_the_longest_time_between_two_publications(said: str, hours: float) -> None:
    assert triggers.Trigger(cron=triggers.cron(said)).longest_gap_s == hours * 3600
    assert triggers.Trigger(interval_s=90).longest_gap_s == 90


def test_a_daily_cron_of_five_fields_fires_daily() -> None:
    """Sent as it is, the server would read ``0 3 * * 1`` as January, at minute 3."""
    start = datetime(2022, 5, 3, tzinfo=UTC)
    assert parse(triggers.cron("0 3 * * 1")).next(start) == datetime(2022, 5, 9, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("60 3 * * *", "minutes"),
        ("0 24 * * *", "hours"),
        ("0 3 0 * *", "day of month"),
        ("0 3 * 13 *", "month"),
        ("0 3 * * 7", "day of week"),
        ("0 3 * * fun", "day of week"),
        ("0 5-3 * * *", "hours"),
        ("*/0 3 * * *", "minutes"),
        ("61 0 3 * * *", "seconds"),
    ],
)
def test_a_wrong_field_is_named(said: str, field: str) -> None:
    with pytest.raises(DefinitionError, match=f"field {field} "):
        triggers.cron(said)


@pytest.mark.parametrize("said", ["", "0 3 * *", "0 0 3 * * * 2022", "@often"])
def test_a_wrong_number_of_fields_is_refused(said: str) -> None:
    with pytest.raises(DefinitionError, match="fields"):
        triggers.cron(said)


PARTS = st.sampled_from(
    ["*", "?", "0", "5", "1-3", "*/2", "7", "3-1", "1,2", "mon", "jan", "31", "99"]
)


@given(st.lists(PARTS, min_size=5, max_size=6))
def test_what_is_accepted_here_is_accepted_there(fields: list[str]) -> None:
    """And what is refused here would be refused there."""
    text = " ".join(fields)
    try:
        sent = triggers.cron(text)
    except DefinitionError:
        with pytest.raises(Refused):
            parse(text if len(fields) == 6 else f"0 {text}")
    else:
        parse(sent)


@pytest.mark.parametrize(
    ("said", "seconds"), [("90s", 90), ("30m", 1800), ("6h", 21600), ("7d", 604800)]
)
def test_lengths(said: str, seconds: int) -> None:
    assert triggers.seconds(said, "--every") == seconds
    assert triggers.seconds(triggers.duration(seconds), "--every") == seconds


@pytest.mark.parametrize("said", ["", "0m", "-1h", "6", "6 hours", "1w"])
def test_wrong_lengths_are_refused(said: str) -> None:
    with pytest.raises(DefinitionError, match="--every"):
        triggers.seconds(said, "--every")


def test_a_schedule_is_cron_or_interval() -> None:
    for wrong in ({}, {"cron": "0 0 3 * * *", "interval_s": 60}):
        with pytest.raises(DefinitionError, match="either --cron or --every"):
            triggers.Trigger(**wrong)  # type: ignore[arg-type]


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(DefinitionError, match="not after --start"):
        triggers.Trigger(
            interval_s=60,
            start=triggers.moment("2022-05-02", "--start"),
            end=triggers.moment("2022-05-02T00:00:00+08:00", "--end"),
        )


def test_times_are_utc() -> None:
    assert triggers.text(triggers.moment("2022-05-02T03:00", "--start")) == "2022-05-02T03:00:00Z"
    assert (
        triggers.text(triggers.moment("2022-05-02T03:00+08:00", "--start"))
        == "2022-05-01T19:00:00Z"
    )
    with pytest.raises(DefinitionError, match="--start 'soon'"):
        triggers.moment("soon", "--start")
