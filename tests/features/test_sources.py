"""Sources: how values are read, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.errors import DataError, DefinitionError
from hemix.features.declared_sources import Label
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.conversions import (
    at_least,
    kind_of,
    to_category,
    to_flag,
    to_id,
    to_number,
)
from hemix.features.sources.moments import to_time
from hemix.features.sources.place import Place
from hemix.features.sources.tables import (
    read_behaviors,
    read_interactions,
)
from tests.logs import views, write_log

PLACE = Place(key="items[0].columns.ours", column="theirs", url="file:///log.csv")


def rows_of(definition: DatasetDefinition) -> pl.DataFrame:
    types = infer_types(definition)
    return pl.concat(list(read_interactions(definition, types))).sort("event_time", "item_id")


def paths(*names: str, **more: object) -> Any:
    def change(value: dict[str, Any]) -> None:
        value["interactions"][0] |= {"paths": list(names), **more}

    return change


# ---- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "is_csv", "kind"),
    [
        (pl.Series([1, None], dtype=pl.UInt8), False, "int64"),
        (pl.Series([True, False]), False, "int64"),
        (pl.Series([1.0, None, float("nan")]), False, "int64"),
        (pl.Series([None, float("nan")], dtype=pl.Float64), False, None),
        (pl.Series([Decimal("2.00")]), False, "int64"),
        (pl.Series(["1", "2"]), False, "string"),
        (pl.Series(["1", None, "-20", "3.0"]), True, "int64"),
        (pl.Series(["1", "02"]), True, "string"),
        (pl.Series(["1", "x"]), True, "string"),
        (pl.Series([None], dtype=pl.String), True, None),
        (pl.Series(["a"], dtype=pl.Categorical), False, "string"),
    ],
)
def test_kind_of(values: pl.Series, is_csv: bool, kind: str | None) -> None:
    assert kind_of(values, PLACE, is_csv=is_csv) == kind


@pytest.mark.parametrize("values", [pl.Series([0.5]), pl.Series([[1]]), pl.Series([1e300])])
def test_what_cannot_be_a_category(values: pl.Series) -> None:
    with pytest.raises(DataError, match=r"items\[0\]\.columns\.ours.*'theirs'"):
        kind_of(values, PLACE, is_csv=False)


def test_categories_and_ids() -> None:
    assert to_category(pl.Series(["1", None, "3.0"]), "int64", PLACE).to_list() == [
        1,
        MISSING_INT,
        3,
    ]
    assert to_category(pl.Series([1, None]), "string", PLACE).to_list() == ["1", ""]
    assert to_category(pl.Series([2.0, None]), "string", PLACE).to_list() == ["2", ""]
    assert to_id(pl.Series([2**53 + 1]), "int64", PLACE).to_list() == [2**53 + 1]
    assert to_id(pl.Series([str(2**53 + 1), "4.0"]), "int64", PLACE).to_list() == [2**53 + 1, 4]
    with pytest.raises(DataError, match="beyond 64 bits"):
        to_id(pl.Series([2**64 - 1], dtype=pl.UInt64), "int64", PLACE)
    with pytest.raises(DataError, match="lacks an id in 1 of 2"):
        to_id(pl.Series(["a", ""]), "string", PLACE)


def test_numbers() -> None:
    read = to_number(pl.Series([" 1.5", None, "nan", "-2e3"]), PLACE)
    assert read.fill_nan(None).to_list() == [1.5, None, None, -2000.0]
    assert to_number(pl.Series([True, None]), PLACE).fill_nan(None).to_list() == [1.0, None]
    for bad in (["1,5"], ["inf"], [float("-inf")], [date(2024, 1, 1)], [[1]]):
        with pytest.raises(DataError, match="number"):
            to_number(pl.Series(bad), PLACE)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("-7,25", "write -7.25, in all rows"),
        ("1.234.567,8", "write 1234567.8,"),
        ("30 km", "without units"),
        ("1,2,3", "without units"),
    ],
)
def test_a_text_that_is_no_number_is_refused_with_a_mend(text: str, mend: str) -> None:
    with pytest.raises(DataError, match=r"row 2, holds .*not a number") as refused:
        to_number(pl.Series(["4.5", text]), PLACE)
    assert mend in (refused.value.hint or "")


@settings(deadline=None, max_examples=40)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
    st.sampled_from([None, 0, 330, -480]),
)
def test_times_of_every_form_agree(moment: datetime, minutes: int | None) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    zone = UTC if minutes is None else timezone(timedelta(minutes=minutes))
    ms = round(moment.replace(tzinfo=UTC).timestamp() * 1000)
    local = moment.replace(tzinfo=UTC).astimezone(zone)
    text = moment.isoformat() if minutes is None else local.isoformat()
    forms: list[tuple[pl.Series, str]] = [
        (pl.Series([text, moment.date().isoformat()]), "auto"),
        (pl.Series([moment], dtype=pl.Datetime("us")), "auto"),
        (pl.Series([moment], dtype=pl.Datetime("ns")).dt.replace_time_zone("UTC"), "auto"),
        (pl.Series([ms]), "ms"),
        (pl.Series([str(ms)]), "ms"),
        (pl.Series([ms * 1000]), "us"),
        (pl.Series([ms * 1_000_000]), "ns"),
    ]
    for values, unit in forms:
        assert to_time(values, unit, PLACE)[0] == ms
    assert to_time(pl.Series([ms // 1000]), "s", PLACE)[0] == ms // 1000 * 1000


def test_odd_times() -> None:
    day = 1_650_844_800_000
    assert to_time(pl.Series(["20220425"]), "auto", PLACE).to_list() == [day]
    assert to_time(pl.Series([date(2022, 4, 25)]), "auto", PLACE).to_list() == [day]
    assert to_time(pl.Series([1650844800.25]), "s", PLACE).to_list() == [day + 250]
    assert to_time(pl.Series([None, day]), "ms", PLACE, attribute=True).to_list() == [None, day]


@pytest.mark.parametrize(
    ("values", "unit", "message"),
    [
        ([1650844800], "auto", r"Set items\[0\]\.time_unit"),
        ([1650844800], "ms", "not a time between 1980 and 2100.*time_unit is 'ms'"),
        ([1650844800000], "s", "not a time between 1980 and 2100"),
        (["2022-13-01"], "auto", "'2022-13-01', which is not a time"),
        ([[1]], "s", "not times"),
        ([None], "s", "lacks a time"),
        ([float("nan")], "s", "lacks a time"),
    ],
)
def test_bad_times(values: list[Any], unit: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_time(pl.Series(values), unit, PLACE)


def test_flags() -> None:
    assert to_flag(pl.Series([True, False]), PLACE).to_list() == [1, 0]
    assert to_flag(pl.Series(["1", "False", " yes "]), PLACE).to_list() == [1, 0, 1]
    assert to_flag(pl.Series([1.0, 0.0]), PLACE).to_list() == [1, 0]
    for bad in ([2], [None], ["maybe"], [0.5], [float("nan")]):
        with pytest.raises(DataError, match="not a 0/1 label"):
            to_flag(pl.Series(bad, strict=False), PLACE)


def test_labels_have_no_order() -> None:
    """What is 1 is what says so, never what sorts last; other pairs of texts are refused."""
    assert to_flag(pl.Series(["Y", "n", "No"]), PLACE).to_list() == [1, 0, 0]
    assert to_flag(pl.Series([Decimal("1.00"), Decimal("0.00")]), PLACE).to_list() == [1, 0]
    for bad in (["bought", "not_bought"], ["click", "no_click"], [1, 2], [-1, 1], ["-1", "1"]):
        with pytest.raises(DataError, match=r"row \d, holds .* not a 0/1 label") as refused:
            to_flag(pl.Series(bad), PLACE)
        assert "at_least" in str(refused.value.hint)
    with pytest.raises(DataError, match="not a 0/1 label"):
        to_flag(
            pl.Series([Decimal("1.0000000000000000000000001")], dtype=pl.Decimal(38, 25)), PLACE
        )


@pytest.mark.parametrize("bound", [2**53 + 1, -(2**53) - 1, 2**62 + 1])
def test_the_bound_of_a_label_is_exact_as_it_was_written(bound: int) -> None:
    label = Label.model_validate_json(Label(column="ms", at_least=bound).model_dump_json())
    assert label.at_least == bound
    values = pl.Series([bound - 1, bound, None])
    assert at_least(values, label.at_least, PLACE).to_list() == [0, 1, 0]


def test_the_bound_of_a_label_keeps_the_digest_that_it_had() -> None:
    assert '"at_least":5.0,' in Label(column="ms", at_least=5).model_dump_json()
    with pytest.raises(ValueError, match="more digits than a number of the log"):
        Label(column="ms", at_least=10**400)


def test_at_least_compares_whole_numbers_exactly() -> None:
    values = pl.Series([2**53 + 3, 2**53 + 4, None, -(2**63)])
    assert at_least(values, float(2**53 + 4), PLACE).to_list() == [0, 1, 0, 0]
    for form in (values.cast(pl.String), values.cast(pl.Decimal(30, 2))):
        assert at_least(form, float(2**53 + 4), PLACE).to_list() == [0, 1, 0, 0]
    assert at_least(pl.Series([2, 3]), 2.5, PLACE).to_list() == [0, 1]
    assert at_least(pl.Series(["2", "2.5"]), 2.5, PLACE).to_list() == [0, 1]
    assert at_least(pl.Series([1e300, None, 0.5]), 0.5, PLACE).to_list() == [1, 0, 1]


def test_numbers_beyond_what_models_compute_in_are_refused() -> None:
    with pytest.raises(DataError, match="row 2, holds 1e\\+39, which is a number beyond 32-bit"):
        to_number(pl.Series([3.4e38, 1e39]), PLACE)


def test_epoch_numbers_are_exact_in_every_form() -> None:
    second = 1_651_363_200
    for ms in (123, 999, 1, 0):
        texts = pl.Series([f"{second}.{ms:03}", f"{second}.{ms:03}9", f"-{second}.{ms:03}"])
        for values in (texts, texts.cast(pl.Decimal(20, 4))):
            read = to_time(values, "s", PLACE, attribute=True).to_list()
            assert read == [second * 1000 + ms] * 2 + [-(second * 1000 + ms)]
        assert to_time(pl.Series([second + ms / 1000]), "s", PLACE).to_list() == [
            second * 1000 + ms
        ]
    with pytest.raises(DataError, match="not a time between 1980"):
        to_time(pl.Series([2**62]), "s", PLACE)  # would wrap around to a time of today
    with pytest.raises(DataError, match="the time may be lost"):
        to_time(pl.Series([float(second)], dtype=pl.Float32), "s", PLACE)


# ---- labels, lists, requests ----------------------------------------------------------------------


def test_label_at_least_counts_a_missing_measurement_as_no(tmp_path: Path) -> None:
    raw = views(60).with_columns(
        pl.when(pl.col("bought") == 1)
        .then(30)
        .when(pl.col("device") == "web")
        .then(5)
        .alias("read_s")
    )
    label = {"buy": {"column": "read_s", "at_least": 30}}
    definition = write_log(tmp_path, views=raw, change=paths("views.csv", labels=label))
    assert rows_of(definition)["label_buy"].sum() == raw["bought"].sum()


def test_candidate_lists_explode_and_share_a_request(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        source = value["interactions"][0]
        source |= {"paths": ["lists.parquet"], "explode": ["shown"]}
        source["columns"] = {"user_id": "customer", "item_id": "shown", "event_time": "at"}
        source["constants"] = {"device": "web"}
        source["labels"] = {"buy": {"column": "clicked", "contains_item": True}}

    definition = write_log(tmp_path, change=change)
    at = datetime(2024, 3, 1, 12)
    lists = {
        "customer": [1, 2, 3, 4],
        "at": [at] * 4,
        "shown": [["p1", "p2"], ["p1"], [], None],
        "clicked": [["p2", "p9"], None, ["p1"], ["p1"]],
    }
    pl.DataFrame(lists).write_parquet(tmp_path / "lists.parquet")
    rows = rows_of(definition).sort("user_id", "item_id")
    assert rows.select("user_id", "item_id", "label_buy").rows() == [
        (1, "p1", 0),
        (1, "p2", 1),
        (2, "p1", 0),
    ]
    assert rows["request_id"].n_unique() == 2
    assert rows["device"].unique().to_list() == ["web"]


def test_lists_that_are_not_parallel_are_refused(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        columns = {"user_id": "u", "item_id": "i", "event_time": "t"}
        source = {"paths": ["h.parquet"], "columns": columns, "constants": {"action": "a"}}
        value["behaviors"] = [{**source, "explode": ["i", "t"]}]

    definition = write_log(tmp_path, change=change)
    frame = {"u": [1], "i": [["p1", "p2"]], "t": [[datetime(2024, 1, 1)]]}
    pl.DataFrame(frame).write_parquet(tmp_path / "h.parquet")
    with pytest.raises(DataError, match=r"behaviors\[0\]\.explode: 'i' and 't'.*differ in length"):
        list(read_behaviors(definition, infer_types(definition)))


def test_behaviors_refuse_columns_nobody_would_use(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        columns = {
            "user_id": "customer",
            "item_id": "product",
            "event_time": "at",
            "dwell": "bought",
        }
        source = {"paths": ["views.csv"], "columns": columns, "constants": {"action": "a"}}
        value["behaviors"] = [source]

    with pytest.raises(DefinitionError, match=r"behaviors\[0\]\.columns\.dwell: .* no column"):
        write_log(tmp_path, change=change)
