"""Statistics within the request for a caller's own rows: which rows are together, and what is refused."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.frames.of_requests import raw_rows
from hemix.features.transform_plan import RawColumn
from tests.features.definitions import plain

DEFINITION = DatasetDefinition.parse(
    plain(
        numeric__0={"name": "volume", "per": "candidate"},
        within_request=[
            {"of": "volume", "statistics": ["rank", "mean"]},
            {"of": "genre_impression_ever", "statistics": ["rank"]},
        ],
    )
)
NEEDED = [
    RawColumn(name="volume_rank_in_request", kind="float", side="item"),
    RawColumn(name="volume", kind="float", side="item"),
    RawColumn(name="genre_impression_ever", kind="int", side="item"),
    RawColumn(name="genre_impression_ever_rank_in_request", kind="float", side="item"),
]
ROWS = {
    "request_id": ["b", "a", "b", "a"],
    "volume": [3.0, 2.0, None, 1.0],
    "genre_impression_ever": [7, 5, 6, 5],
}
RANKS = [1.0, 2.0, 2.0, 1.0]
COUNTS = [2.0, 1.0, 1.0, 1.0]


def made(frame: object, name: str = "volume_rank_in_request") -> list[float]:
    table = raw_rows(frame, NEEDED, DEFINITION)
    assert table.column_names == [column.name for column in NEEDED]
    found: list[float] = table[name].to_pylist()
    return found


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_rows_of_one_request_stand_among_each_other(kind: type) -> None:
    frame = kind(ROWS)
    assert made(frame) == RANKS
    assert made(frame, "genre_impression_ever_rank_in_request") == COUNTS


def test_one_user_at_one_instant_is_one_request() -> None:
    one = pd.DataFrame(ROWS).drop(columns="request_id")
    stamps = pd.to_datetime(["2031-02-02", "2031-02-01", "2031-02-02", "2031-02-01"], utc=True)
    assert made(one.assign(user_id=7, event_time=stamps)) == RANKS
    alone = one.assign(user_id=[1, 2, 3, 4], event_time=stamps)
    assert made(alone) == [1.0] * 4


def test_a_column_that_is_given_is_taken_as_it_is() -> None:
    frame = pl.DataFrame({**ROWS, "volume_rank_in_request": [9.0] * 4})
    assert made(frame) == [9.0] * 4
    assert made(frame, "genre_impression_ever_rank_in_request") == COUNTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"request_id": None}, "lacks .*volume_rank_in_request, and does not say which rows"),
        ({"request_id": ["a", None, "a", "b"]}, "'request_id' is missing in row 2, so that genre_"),
        ({"volume": None}, r"lacks 1 of 2 columns: volume \(number\)"),
    ],
)
def test_what_cannot_be_made_is_one_error(change: dict[str, object], message: str) -> None:
    rows = {name: values for name, values in {**ROWS, **change}.items() if values is not None}
    with pytest.raises(DataError, match=message):
        raw_rows(pl.DataFrame(rows), NEEDED, DEFINITION)


def test_without_a_definition_every_column_must_be_there() -> None:
    with pytest.raises(DataError, match="lacks 2 of 4 columns: volume_rank_in_request"):
        raw_rows(pl.DataFrame(ROWS), NEEDED)
