"""Ids in outcome logs are the text that exposures hold, whatever type they were written in."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.errors import DataError
from hemix.serving.experiments.logs import read_outcomes

LONG = 2**61 + 12345


def parquet(path: Path, ids: pa.Array) -> None:
    n = len(ids)
    rest = {"task": ["click"] * n, "value": [1.0] * n, "time_ms": [1] * n}
    pq.write_table(pa.table({"request_id": ids, "item_id": ids, **rest}), path)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([LONG, 7]),
        pa.array([LONG, 7], pa.uint64()),
        pa.array([str(LONG), "7"], pa.large_string()),
        pa.array([str(LONG), "7"]).dictionary_encode(),
        pa.array([str(LONG), "7"], pa.string_view()),
        pa.array([Decimal(LONG), Decimal(7)], pa.decimal128(30, 2)),
    ],
)
def test_parquet_ids_are_exact(tmp_path: Path, ids: pa.Array) -> None:
    parquet(tmp_path / "a.parquet", ids)
    rows = read_outcomes(str(tmp_path)).rows
    assert rows["item_id"].to_list() == rows["request_id"].to_list() == [str(LONG), "7"]


def test_floats_with_a_hole_are_whole_numbers(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.array([7.0, None]))
    found = read_outcomes(str(tmp_path))
    assert (found.rows["item_id"].to_list(), found.unreadable) == (["7"], 1)


def test_parquet_ids_that_are_none_are_counted_or_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.array([1.0, float(LONG), 1.5]))
    found = read_outcomes(str(tmp_path))
    assert (found.rows["item_id"].to_list(), found.unreadable) == (["1"], 2)
    assert "row 2, request_id: " in found.example
    parquet(tmp_path / "a.parquet", pa.array([1.0, float(2**25)]).cast(pa.float32()))
    with pytest.raises(DataError, match=r"a\.parquet, row 2, holds .* digits may be lost"):
        read_outcomes(str(tmp_path))
    parquet(tmp_path / "a.parquet", pa.array([b"7", b"\0\xff"]))
    with pytest.raises(DataError, match=r"a\.parquet, row 2, holds .* bytes that are no UTF-8"):
        read_outcomes(str(tmp_path))
    parquet(tmp_path / "a.parquet", pa.array([{"id": 1}]))
    with pytest.raises(DataError, match=r"request_id holds Struct"):
        read_outcomes(str(tmp_path))


def test_json_ids(tmp_path: Path) -> None:
    ids: list[Any] = [LONG, 7.0, "7.0", " 7", None, True, 7.5, float(LONG), [7], {"id": 7}]
    lines = [
        json.dumps({"request_id": "r", "item_id": item, "task": "t", "value": 1, "time_ms": 1})
        for item in ids
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = read_outcomes(str(tmp_path))
    assert found.rows["item_id"].to_list() == [str(LONG), "7", "7.0", " 7"]
    assert found.unreadable == 6
