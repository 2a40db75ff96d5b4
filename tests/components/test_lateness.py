"""When a log's rows became known is held to availability_delay: training never sees more than serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from hemix.components.ingest import step
from hemix.errors import DataError, DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.files import read_json
from tests.logs import views, write_log

SHOWN = "%Y-%m-%dT%H:%M:%SZ"


def arrived(folder: Path, *, late_s: int = 30, **sequences: Any) -> DatasetDefinition:
    """The shop's views, each known after 30 s, two of them after ``late_s``."""
    seconds = pl.when(pl.int_range(pl.len()).is_in([3, 7])).then(late_s).otherwise(30)
    known = pl.col("at").str.to_datetime(SHOWN) + pl.duration(seconds=seconds)
    rows = views(60).with_columns(known.dt.to_string(SHOWN).alias("written"))

    def change(value: dict[str, Any]) -> None:
        value["interactions"][0]["columns"]["known_at"] = "written"
        value["sequences"] |= sequences

    return write_log(folder, views=rows, change=change)


def test_rows_known_in_time_are_the_rows_of_a_log_that_does_not_say(tmp_path: Path) -> None:
    said = arrived(tmp_path / "said", availability_delay="30s")
    step.run(definition=said, out_events=tmp_path / "events")
    found = read_json(tmp_path / "events" / "summary.json")["known_late"]
    assert found == {"interactions": {"rows": 60, "late": 0, "longest_ms": 30_000}}
    step.run(definition=write_log(tmp_path / "log", views=views(60)), out_events=tmp_path / "plain")
    for file in (tmp_path / "plain" / "interactions").rglob("*.parquet"):
        other = tmp_path / "events" / file.relative_to(tmp_path / "plain")
        assert pq.read_table(file).equals(pq.read_table(other)), "and no field is made of it"


def test_a_log_that_is_later_than_it_says_is_refused_with_the_delay_that_holds(
    tmp_path: Path,
) -> None:
    definition = arrived(tmp_path / "log", late_s=3600, availability_delay="30s")
    with pytest.raises(DataError) as caught:
        step.run(definition=definition, out_events=tmp_path / "events")
    text = str(caught.value)
    assert "interactions: 2 of 60 rows (3.3%) became known later than" in text
    assert "(30 s), the latest 3600 s after it happened: user_id 1, item_id 'p9'" in text
    assert "sequences.availability_delay: 3600s" in str(caught.value.hint)
    assert "known_late_at_most: 0.034" in str(caught.value.hint)
    assert not (tmp_path / "events").exists()
    holds = arrived(tmp_path / "log", late_s=3600, availability_delay="3600s")
    step.run(definition=holds, out_events=tmp_path / "events")


def test_a_few_late_rows_may_be_allowed_and_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"availability_delay": "30s", "known_late_at_most": 0.034}
    step.run(
        definition=arrived(tmp_path / "log", late_s=3600, **rule), out_events=tmp_path / "events"
    )
    found = read_json(tmp_path / "events" / "summary.json")["known_late"]["interactions"]
    assert (found["late"], found["longest_ms"]) == (2, 3_600_000)
    told = capsys.readouterr()
    assert "2 of 60 interactions became known later than" in told.out + told.err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pl.lit("later"), r"columns\.known_at.*'written'.*'later'.*not a time"),
        (pl.lit(None, pl.String), r"columns\.known_at.*lacks a time in 60"),
    ],
)
def test_what_is_no_time_is_named(tmp_path: Path, values: pl.Expr, message: str) -> None:
    rows = views(60).with_columns(values.alias("written"))
    definition = write_log(
        tmp_path / "log",
        views=rows,
        change=lambda value: value["interactions"][0]["columns"].update(known_at="written"),
    )
    with pytest.raises(DataError, match=message):
        step.run(definition=definition, out_events=tmp_path / "events")


def test_it_is_of_events_and_no_field(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="known_at"):
        write_log(
            tmp_path,
            change=lambda value: (
                value["categorical"].append({"name": "known_at"})
                or value["interactions"][0]["columns"].update(known_at="at")
            ),
        )
    with pytest.raises(DefinitionError, match="known_late_at_most"):
        write_log(tmp_path, change=lambda value: value["sequences"].update(known_late_at_most=1.5))
