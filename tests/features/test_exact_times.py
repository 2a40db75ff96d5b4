"""Times and dates as a log spells them: any year, no number taken for a time, nothing wraps around."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.errors import DataError
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.moments import to_time
from hemix.features.sources.place import Place
from hemix.features.sources.tables import read_dimension
from tests.logs import write_log

PLACE = Place(key="interactions[0].columns.user_id", column="who", url="file:///log.csv")


@pytest.mark.parametrize(
    ("dates", "unit", "ms"),
    [
        (
            ["1869-07-01", "0001-01-01", "9999-12-31"],
            "auto",
            [-3171571200000, -62135596800000, 253402214400000],
        ),
        (["-1", "0", "1.5"], "s", [-1000, 0, 1500]),
        (["-1", "-1500", "86400000"], "ms", [-1, -1500, 86400000]),
        (["-1", "-1000001", "5"], "us", [-1, -1001, 0]),
        (
            ["", "1712-02-29T10:00:00+02:00", "2262-04-12"],
            "auto",
            [None, -8136604800000, 9223372800000],
        ),
    ],
)
def test_an_items_date_may_be_of_any_year(
    tmp_path: Path, dates: list[str], unit: str, ms: list[int | None]
) -> None:
    def born(value: dict[str, Any]) -> None:
        columns = {"item_id": "id", "made": "made"}
        value["items"].append({"paths": ["born.csv"], "columns": columns, "time_unit": unit})
        value["item_created_at"] = "made"

    definition = write_log(tmp_path, change=born)
    lines = [f"p{i},{text}" for i, text in enumerate(dates)]
    (tmp_path / "born.csv").write_text("\n".join(["id,made", *lines]) + "\n")
    *_, (_, frame) = read_dimension(definition, infer_types(definition), "items")
    assert frame["created_at"].to_list() == ms


@pytest.mark.parametrize("made", ["10000-01-01", "now", "1e20", "99999999999999999999"])
def test_what_is_no_date_is_refused_with_its_row(tmp_path: Path, made: str) -> None:
    def born(value: dict[str, Any]) -> None:
        columns = {"item_id": "id", "made": "made"}
        value["items"].append({"paths": ["born.csv"], "columns": columns, "time_unit": "s"})
        value["item_created_at"] = "made"

    definition = write_log(tmp_path, change=born)
    (tmp_path / "born.csv").write_text(f"id,made\np1,{made}\n")
    with pytest.raises(DataError, match=r"born\.csv, row 1, holds .*not a time"):
        list(read_dimension(definition, infer_types(definition), "items"))


@pytest.mark.parametrize("values", [[1969, 2024], [20240531, 19690815]])
@pytest.mark.parametrize("unit", ["auto", "s", "ms"])
def test_years_and_days_are_no_epoch_numbers(values: list[int], unit: str) -> None:
    for form in (pl.Series(values), pl.Series(values, dtype=pl.Float64)):
        with pytest.raises(DataError, match=rf"row 1, holds {values[0]}, ") as refused:
            to_time(form, unit, PLACE, attribute=True)
        assert "Write dates as" in str(refused.value.hint)


def test_times_of_96_bits_do_not_wrap_around(tmp_path: Path) -> None:
    def made(value: dict[str, Any]) -> None:
        value["items"][0]["columns"]["made"] = "made"
        value["item_created_at"] = "made"

    definition = write_log(tmp_path, change=made)
    moments = [datetime(9999, 12, 31), datetime(1, 1, 1), datetime(2024, 5, 31)] * 10
    table = pq.read_table(tmp_path / "products.parquet")
    table = table.append_column("made", pa.array(moments, pa.timestamp("us")))
    pq.write_table(table, tmp_path / "products.parquet", use_deprecated_int96_timestamps=True)
    ((_, frame),) = read_dimension(definition, infer_types(definition), "items")
    years = frame["created_at"].cast(pl.Datetime("ms")).dt.year().to_list()
    assert years == [9999, 1, 2024] * 10
