"""One meaning per value, whatever type its column has in the caller's frame."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hemix.errors import DataError
from hemix.features.frames.reading import as_table, like
from hemix.features.schema import MISSING_INT
from hemix.features.transform_plan import RawColumn

WHOLE = RawColumn(name="item_id", kind="int", side="item")
TEXT = RawColumn(name="city", kind="string", side="user")
NUMBER = RawColumn(name="price", kind="float", side="item")
LIST = RawColumn(name="global_item_id", kind="int", side="user", ragged=True)


def values(frame: object, column: RawColumn) -> list[object]:
    found: list[object] = as_table(frame, [column]).column(column.name).to_pylist()
    return found


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([7, 2**62 + 1]),
        pd.Series([7, 2**62 + 1], dtype="Int64"),
        pd.Series([7, 2**62 + 1], dtype="uint64"),
        pd.Series([7, 2**62 + 1], dtype="object"),
        pd.Series([7, 2**62 + 1], dtype="category"),
        pd.Series([7, 2**62 + 1], dtype=pd.ArrowDtype(pa.int64())),
        pd.Series([Decimal(7), Decimal(2**62 + 1)]),
        pd.Series(["7", str(2**62 + 1)]),
    ],
    ids=lambda series: str(series.dtype),
)
def test_whole_numbers_are_the_same_in_every_type(column: pd.Series) -> None:
    assert values(pd.DataFrame({"item_id": column}), WHOLE) == [7, 2**62 + 1]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([7, None]),
        pd.Series([7, None], dtype="Int64"),
        pd.Series([7.0, np.nan]),
        pd.Series([7, None], dtype="object"),
        pd.Series([7, None], dtype="category"),
    ],
)
def test_a_missing_value_leaves_the_others_as_they_are(column: pd.Series) -> None:
    assert values(pd.DataFrame({"item_id": column}), WHOLE) == [7, MISSING_INT]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pd.Series([2.0**60]), "item_id"),
        (pd.Series([1.5]), "1.5"),
        (pd.Series(["seven"]), "seven"),
        (pd.Series([1, "a"], dtype="object"), "several types"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(column: pd.Series, words: str) -> None:
    with pytest.raises(DataError, match=words):
        values(pd.DataFrame({"item_id": column}), WHOLE)


def test_texts_numbers_and_lists() -> None:
    frame = pa.table(
        {
            "city": pa.array(["Oslo", None]).dictionary_encode(),
            "price": pa.array([3, None], pa.int8()),
            "global_item_id": pa.array([[1, None], None], pa.large_list(pa.int32())),
        }
    )
    table = as_table(frame, [TEXT, NUMBER, LIST])
    assert table.column("city").to_pylist() == ["Oslo", ""]
    assert table.column("price").to_pylist()[0] == 3.0
    assert np.isnan(table.column("price").to_pylist()[1])
    assert table.column("global_item_id").to_pylist() == [[1, MISSING_INT], []]


def test_all_absent_columns_are_named_at_once() -> None:
    with pytest.raises(DataError, match=r"lacks 2 of 3 columns: city \(text\), global_item_id"):
        as_table(pl.DataFrame({"price": [1.0]}), [TEXT, NUMBER, LIST])
    with pytest.raises(DataError, match="not a frame"):
        as_table([1, 2], [TEXT])


@pytest.mark.parametrize(
    "flags",
    [
        pd.Series([True, False, True]),
        pd.Series([True, None, True], dtype="boolean"),
        pd.Series([True, None, True], dtype="object"),
        pd.Series([1, 0, 1], dtype="uint8"),
        pd.Series([1.0, np.nan, 1.0]),
        pd.Series([1, None, 1], dtype=pd.ArrowDtype(pa.int8())),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_row_is_the_same_beside_any_other(flags: pd.Series) -> None:
    """What other rows of a column lack changes its type in pandas, and no value here."""
    whole = values(pd.DataFrame({"item_id": flags}), WHOLE)
    assert (whole[0], whole[2]) == (1, 1)
    for row in range(3):
        assert values(pd.DataFrame({"item_id": flags[row : row + 1]}), WHOLE) == [whole[row]]


@pytest.mark.parametrize(
    "index",
    [["b", "b"], [7, 3], pd.MultiIndex.from_tuples([("x", 2), ("x", 1)], names=["user", "n"]), []],
    ids=str,
)
def test_results_keep_the_callers_rows(index: Any) -> None:
    scores = {"click": np.array([0.5, 0.25], np.float32)[: len(index)]}
    frame = pd.DataFrame({"price": np.arange(len(index))}, index=index)
    found = like(frame, scores)
    assert found.index.equals(frame.index)
    assert found.index.names == frame.index.names
    assert found["click"].tolist() == scores["click"].tolist()
    assert found["click"].dtype == np.float32


def test_results_are_the_callers_kind_of_frame() -> None:
    scores = {"click": np.array([0.5, 0.25], np.float32)}
    assert isinstance(like(pl.DataFrame({"price": [1.0, 2.0]}), scores), pl.DataFrame)
    assert like(pa.table({"price": [1.0, 2.0]}), scores).column_names == ["click"]
