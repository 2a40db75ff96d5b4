"""Ids and categories as a log spells them: exact, one value one id, or refused with both spellings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.bounds import MAX_TEXT
from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.conversions import to_category, to_id
from hemix.features.sources.place import Place
from hemix.features.sources.tables import read_interactions
from tests.logs import views, write_log

PLACE = Place(key="interactions[0].columns.user_id", column="who", url="file:///log.csv")
TIMES = [datetime(2024, 3, 1 + i % 3, tzinfo=UTC) for i in range(100)]


def log_of(folder: Path, users: dict[str, Any], change: Callable[[Any], None] | None = None) -> Any:
    """A log whose files hold these user ids: a list is written as CSV, an Arrow array as Parquet."""

    def several(value: dict[str, Any]) -> None:
        value["interactions"][0]["paths"] = list(users)
        value["users"] = []
        value["numeric"] = [{"name": "price"}]
        if change:
            change(value)

    definition = write_log(folder, change=several)
    for name, ids in users.items():
        n = len(ids)
        rest = {
            "product": [f"p{i}" for i in range(n)],
            "at": [time.isoformat() for time in TIMES[:n]],
            "device": ["web"] * n,
            "bought": [i % 2 for i in range(n)],
        }
        if isinstance(ids, list):
            lines = [
                ",".join([str(u), *map(str, row)])
                for u, row in zip(ids, zip(*rest.values(), strict=True), strict=True)
            ]
            (folder / name).write_text("\n".join(["customer," + ",".join(rest), *lines]) + "\n")
        else:
            pq.write_table(pa.table({"customer": ids, **rest}), folder / name)
    return definition


def users_of(definition: DatasetDefinition) -> set[int | str]:
    frames = read_interactions(definition, infer_types(definition))
    return set(pl.concat(list(frames))["user_id"].to_list())


@pytest.mark.parametrize(
    "texts",
    [
        ["12E5", "120E4", "1E400", "1200000"],
        ["1_000", "1000", "0x1F", "31"],
        ["+5", "5", "\uff15", "05", "-0", "0"],  # the third is a full-width digit
        ["0017", "017", "17"],
        ["12345678901234567E90", "12345678901234567890", "12345678901234567891"],
        ["9223372036854775807", "-9223372036854775808", "9223372036854775808"],
        ["caf\u00e9", "cafe\u0301", "CAFE\u0301"],
        [" 7", "7", "7 "],
        ["7.5", "7.50", "7.00"],
        ["true", "True", "1"],
        ["2024-05-31", "20240531"],
    ],
)
def test_distinct_texts_are_distinct_ids(tmp_path: Path, texts: list[str]) -> None:
    assert users_of(log_of(tmp_path, {"a.csv": texts[:2], "b.csv": texts[2:] or texts})) == set(
        texts
    )


def test_one_text_among_many_numbers_makes_all_of_them_texts(tmp_path: Path) -> None:
    numbers = list(range(1, 99))
    assert users_of(log_of(tmp_path / "a", {"a.csv": numbers})) == set(numbers)
    assert users_of(log_of(tmp_path / "b", {"a.csv": [*numbers, "A7"]})) == {
        *map(str, numbers),
        "A7",
    }


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=5))
def test_every_whole_number_of_64_bits_is_exact_in_every_form(numbers: list[int]) -> None:
    forms = [
        pl.Series(numbers),
        pl.Series([str(n) for n in numbers]),
        pl.Series([Decimal(n) for n in numbers], dtype=pl.Decimal(38, 0)),
    ]
    for values in forms:
        assert to_id(values, "int64", PLACE).to_list() == numbers
        assert to_id(values, "string", PLACE).to_list() == [str(n) for n in numbers]


ONE_SPELLING: list[tuple[dict[str, Any], set[int | str]]] = [
    ({"a.csv": ["3.0", "4.0"], "b.csv": ["3", "5"]}, {3, 4, 5}),
    ({"a.csv": ["3.00", "-4.00"]}, {3, -4}),
    ({"a.parquet": pa.array([3, 4]), "b.parquet": pa.array(["3", "x"])}, {"3", "4", "x"}),
    ({"a.parquet": pa.array([3.0, 4.0]), "b.parquet": pa.array(["3", "4"])}, {"3", "4"}),
    (
        {
            "a.parquet": pa.array([3, 4]).dictionary_encode(),
            "b.parquet": pa.array([Decimal("3.0")], pa.decimal128(9, 1)),
            "c.csv": ["4.0", "3.0"],
        },
        {3, 4},
    ),
    (
        {
            "a.parquet": pa.array(["3", "y"], pa.large_string()).dictionary_encode(),
            "b.parquet": pa.array([3], pa.uint64()),
            "c.csv": ["3"],
        },
        {"3", "y"},
    ),
    ({"a.parquet": pa.array([True, False]), "b.parquet": pa.array([1, 0])}, {1, 0}),
    ({"a.parquet": pa.array([date(2024, 5, 31)]), "b.csv": ["2024-05-31"]}, {"2024-05-31"}),
    (
        {
            "a.parquet": pa.array([datetime(2024, 5, 31)], pa.timestamp("ms")),
            "b.parquet": pa.array([datetime(2024, 5, 31)], pa.timestamp("ns")),
        },
        {"2024-05-31 00:00:00"},
    ),
]


@pytest.mark.parametrize(("files", "expected"), ONE_SPELLING)
def test_one_value_is_one_id_whatever_the_files_types(
    tmp_path: Path, files: dict[str, Any], expected: set[int | str]
) -> None:
    assert users_of(log_of(tmp_path, files)) == expected


TWO_SPELLINGS: list[tuple[dict[str, Any], str]] = [
    (
        {"a.csv": ["8", "3.0"], "b.csv": ["guest", "3"]},
        r"a\.csv, row 2, .*'3\.0'.*b\.csv, row 2, .*'3'",
    ),
    ({"a.csv": ["3.0", "x"], "b.parquet": pa.array([9, 3])}, r"row 1, .*'3\.0'.*b\.parquet, row 2"),
    ({"a.parquet": pa.array(["3", "3.0"])}, r"row 2, holds '3\.0'.*row 1, holds '3'"),
    ({"a.csv": ["3.00", "3.0", "x"]}, r"holds '3\.0+'.*holds '3\.0+'"),
    (
        {"a.parquet": pa.array([True]), "b.csv": ["true"]},
        "a.parquet holds booleans, .*b.csv holds text",
    ),
    (
        {"a.parquet": pa.array([TIMES[0]]), "b.csv": ["2024-03-01"]},
        "a.parquet holds timestamps, .*b.csv holds texts",
    ),
]


@pytest.mark.parametrize(("files", "message"), TWO_SPELLINGS)
def test_two_spellings_of_one_value_are_refused(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        infer_types(log_of(tmp_path, files))
    assert refused.value.hint


def test_a_category_of_versions_keeps_its_texts(tmp_path: Path) -> None:
    raw = views(30).with_columns(device=pl.Series(["7.0", "7.1", "8.0"] * 10))
    definition = write_log(tmp_path, views=raw)
    frame = pl.concat(list(read_interactions(definition, infer_types(definition))))
    assert set(frame["device"].to_list()) == {"7.0", "7.1", "8.0"}


@pytest.mark.parametrize(
    "text", ["9007199254740993.0", "1.2345678901234568e+18", "5e+22", "4.61E+12", "4.6112E12"]
)
def test_floats_written_as_text_that_lost_digits_are_no_ids(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"row 2, holds '.*digits of the id may be lost"):
        infer_types(log_of(tmp_path, {"a.csv": ["1.0", text]}))


def test_codes_that_look_like_floats_are_texts(tmp_path: Path) -> None:
    codes = {"12E5", "1E10", "12.5E3", "4.61E-12", "x"}
    assert users_of(log_of(tmp_path, {"a.csv": sorted(codes)})) == codes


SENTINELS: list[tuple[pa.Array, str]] = [
    (
        pa.array([1, MISSING_INT]),
        r"row 2, holds -9223372036854775808, which is .* -2\^63, which stands for what is missing",
    ),
    (
        pa.array(["ok", "two\nlines"]),
        r"row 2, holds 'two\\nlines', which is a text with a line break",
    ),
    (pa.array(["ok", "carriage\r"]), "which is a text with a line break"),
    (pa.array(["ok", "x" * (MAX_TEXT + 1)]), f"row 2, holds .*more than {MAX_TEXT} characters"),
    (pa.array(["ok", ""]), "row 2, lacks an id in 1 of 2 rows"),
    (pa.array([1, None]), "row 2, lacks an id in 1 of 2 rows"),
    (pa.array([b"ok", b"\x80"]), r"row 2, holds b'\\x80', bytes that are no UTF-8 text"),
]


@pytest.mark.parametrize(("ids", "message"), SENTINELS)
def test_what_stands_for_something_else_is_no_id(
    tmp_path: Path, ids: pa.Array, message: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        users_of(log_of(tmp_path, {"a.parquet": ids}))
    assert refused.value.hint


def test_odd_texts_are_ids_of_their_own(tmp_path: Path) -> None:
    texts = [
        "\0",
        "a\0",
        "a",
        "-1",
        "missing",
        "unknown",
        "__other__",
        "None",
        "x" * MAX_TEXT,
        "🦊" * MAX_TEXT,
    ]
    assert users_of(log_of(tmp_path, {"a.parquet": pa.array(texts)})) == set(texts)


def test_a_missing_category_is_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is beyond 64 bits with a sign"):
        to_category(pl.Series([MISSING_INT]), "int64", PLACE)


# ---- files and sources of one table -------------------------------------------------------------


def test_a_file_of_empty_lists_has_no_positives(tmp_path: Path) -> None:
    def lists(value: dict[str, Any]) -> None:
        value["interactions"][0]["paths"] = ["*.pq"]
        value["interactions"][0]["labels"] = {"buy": {"column": "got", "contains_item": True}}

    definition = write_log(tmp_path, change=lists)
    kinds: Sequence[tuple[pa.DataType, Any]] = [
        (pa.list_(pa.null()), []),
        (pa.null(), None),
        (pa.list_(pa.string()), ["p1", "p9", None]),
        (pa.large_list(pa.dictionary(pa.int8(), pa.string())), ["p1"]),
        (pa.list_(pa.string(), 1), ["p1"]),
    ]
    for number, (kind, got) in enumerate(kinds):
        columns = {
            "customer": [1, 2],
            "product": ["p1", "p2"],
            "at": TIMES[:2],
            "device": ["a"] * 2,
        }
        pq.write_table(
            pa.table({**columns, "got": pa.array([got] * 2, kind)}), tmp_path / f"{number}.pq"
        )
    frames = list(read_interactions(definition, infer_types(definition)))
    assert [frame["label_buy"].to_list() for frame in frames] == [[0, 0]] * 2 + [[1, 0]] * 3


def test_listed_items_are_ids_as_the_items_are(tmp_path: Path) -> None:
    def lists(value: dict[str, Any]) -> None:
        source = value["interactions"][0]
        source |= {"paths": ["*.pq"], "explode": ["shown"]}
        source["columns"] |= {"item_id": "shown"}
        source["labels"] = {"buy": {"column": "got", "contains_item": True}}
        value["items"][0]["columns"]["item_id"] = "number"

    definition = write_log(tmp_path, change=lists)
    products = pl.read_parquet(tmp_path / "products.parquet")
    products.with_row_index("number").write_parquet(tmp_path / "products.parquet")
    columns = {"customer": [1, 2], "at": TIMES[:2], "device": ["a"] * 2}
    shown = pa.array([[2**53 + 1, 5], [7]], pa.list_(pa.int64()))
    for number, got in enumerate(
        (
            pa.array([[float(5)], None], pa.list_(pa.float64())),
            pa.array([["5"], ["8"]], pa.list_(pa.string())),
            pa.array([[2**53, 5], []], pa.list_(pa.uint64())),
        )
    ):
        pq.write_table(pa.table({**columns, "shown": shown, "got": got}), tmp_path / f"{number}.pq")
    for frame in read_interactions(definition, infer_types(definition)):
        assert frame["item_id"].to_list() == [2**53 + 1, 5, 7]
        assert frame["label_buy"].to_list() == [0, 1, 0]


def test_times_of_several_types_are_one_column(tmp_path: Path) -> None:
    definition = log_of(tmp_path, {"a.parquet": pa.array([1]), "b.csv": [2]})
    kinds = [
        pa.timestamp("s"),
        pa.timestamp("ns", "+05:30"),
        pa.timestamp("us", "Asia/Tokyo"),
        pa.date32(),
    ]
    for kind in kinds:
        table = pq.read_table(tmp_path / "a.parquet").drop(["at"])
        at = pa.array([TIMES[0] if pa.types.is_timestamp(kind) else TIMES[0].date()], kind)
        pq.write_table(table.append_column("at", at), tmp_path / "a.parquet")
        rows = pl.concat(list(read_interactions(definition, infer_types(definition))))
        assert rows["event_time"].unique().to_list() == [1_709_251_200_000]


def test_what_one_source_lacks_is_missing_in_its_rows(tmp_path: Path) -> None:
    def second(value: dict[str, Any]) -> None:
        first = value["interactions"][0]
        columns = {name: own for name, own in first["columns"].items() if name != "device"}
        value["interactions"].append({**first, "paths": ["app.csv"], "columns": columns})

    definition = write_log(tmp_path, change=second)
    views(30).drop("device").write_csv(tmp_path / "app.csv")
    frames = list(read_interactions(definition, infer_types(definition)))
    assert set(frames[-1]["device"].to_list()) == {""}
    assert "" not in frames[0]["device"].to_list()


def test_fields_that_share_a_vocabulary_are_of_one_type(tmp_path: Path) -> None:
    def shared(value: dict[str, Any]) -> None:
        value["interactions"][0]["columns"]["last"] = "last"
        value["categorical"].append({"name": "last", "vocabulary": "item_id"})

    raw = views(30).with_columns(last=pl.lit(7))
    definition = write_log(tmp_path, views=raw, change=shared)
    types = infer_types(definition)
    assert (types.item_id, types.context["last"]) == (pa.string(), pa.string())
    frame = pl.concat(list(read_interactions(definition, types)))
    assert frame["last"].unique().to_list() == ["7"]
