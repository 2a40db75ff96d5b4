"""Logs as they are: kinds of rows, lists as text, places in lists, labels by value, written times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.errors import DataError, DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.tables import read_behaviors, read_dimension, read_interactions

# A session log: a click-out row holds what was shown, the other rows what was looked at.
SESSIONS = """user,at,type,reference,shown,prices
a,2024-03-01 10:00:00,search for city,"Oslo, Norway",,
a,2024-03-01 10:00:05,view,12,,
a,2024-03-01 10:01:00,clickout item,7,12|7|9,80|75|60
b,2024-03-01 11:00:00,view,9,,
b,2024-03-01 11:02:00,clickout item,9,9|7,61|75
"""
IN_ONE: dict[str, Any] = {
    "name": "sessions",
    "interactions": [
        {
            "paths": ["log.csv"],
            "where": {"type": "clickout item"},
            "lists": {"shown": "|", "prices": "|"},
            "explode": ["shown", "prices"],
            "columns": {
                "user_id": "user",
                "item_id": "shown",
                "event_time": "at",
                "price": "prices",
                "slot": "$position",
            },
            "labels": {"click": {"column": "reference", "equals_item": True}},
        }
    ],
    "behaviors": [
        {
            "paths": ["log.csv"],
            "where": {"type": ["view"]},
            "columns": {"user_id": "user", "item_id": "reference", "event_time": "at", "action": "type"},
        }
    ],
    "tasks": ["click"],
    "categorical": [{"name": "user_id"}, {"name": "item_id"}],
    "numeric": [{"name": "price"}, {"name": "slot"}],
    "counters": [{"key": ["user_id", "item_id"], "actions": ["view"]}],
    "split": {
        "train": {"start": "2024-03-01", "end": "2024-03-02"},
        "test": {"start": "2024-03-02", "end": "2024-03-03"},
    },
}  # fmt: skip


def changed(folder: Path, text: str = SESSIONS, **source: Any) -> DatasetDefinition:
    (folder / "log.csv").write_text(text)
    interactions = {**IN_ONE["interactions"][0], **source}
    return DatasetDefinition.parse({**IN_ONE, "root": str(folder), "interactions": [interactions]})


def interactions(definition: DatasetDefinition) -> list[dict[str, Any]]:
    return pl.concat(read_interactions(definition, infer_types(definition))).to_dicts()


def test_two_kinds_of_rows_in_one_file_make_requests_and_behaviours(tmp_path: Path) -> None:
    definition = changed(tmp_path)
    types = infer_types(definition)
    assert types.item_id == pa.int64()  # "Oslo, Norway" stands in rows of another kind
    rows = interactions(definition)
    assert [(r["item_id"], r["price"], r["slot"], r["label_click"]) for r in rows] == [
        (12, 80.0, 1.0, 0),
        (7, 75.0, 2.0, 1),
        (9, 60.0, 3.0, 0),
        (9, 61.0, 1.0, 1),
        (7, 75.0, 2.0, 0),
    ]
    assert len({r["request_id"] for r in rows}) == 2
    behaviors = pl.concat(read_behaviors(definition, types))
    assert behaviors.select("user_id", "item_id", "action").rows() == [
        ("a", 12, "view"),
        ("b", 9, "view"),
    ]


@pytest.mark.parametrize("rule", [{"none_of": ["view", "search for city"]}, ["clickout item"]])
def test_rows_are_chosen_by_what_they_are_and_by_what_they_are_not(
    tmp_path: Path, rule: object
) -> None:
    assert len(interactions(changed(tmp_path, where={"type": rule}))) == 5


def test_lists_are_read_as_json_too(tmp_path: Path) -> None:
    text = SESSIONS.replace("12|7|9,80|75|60", '"[12, 7, 9]","[80, null, 6e1]"').replace(
        "9|7,61|75", '"[9,7]","[61.0,75]"'
    )
    rows = interactions(changed(tmp_path, text, lists={"shown": "json", "prices": "json"}))
    assert [r["item_id"] for r in rows] == [12, 7, 9, 9, 7]
    assert [str(r["price"]) for r in rows] == ["80.0", "nan", "60.0", "61.0", "75.0"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("12|7|9", '"[12, 7"', "row 3, holds '\\[12, 7', which is no JSON list"),
        ("12|7|9", '"[12, [7]]"', "no JSON list of numbers or texts"),
        ("12|7|9", '"[12, ""7""]"', "numbers in some lists and texts in others"),
        ("12|7|9", '"[12, 7]"', "row 3, differ in length"),
    ],
)
def test_what_is_no_list_is_refused_with_its_row(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = SESSIONS.replace(old, new).replace("80|75|60", '"[80,75,60]"')
    text = text.replace("9|7,61|75", '"[9,7]","[61,75]"')
    with pytest.raises(DataError, match=said):
        interactions(changed(tmp_path, text, lists={"shown": "json", "prices": "json"}))


def test_a_label_is_a_stated_value_and_a_missing_one_counts_as_no(tmp_path: Path) -> None:
    text = "user,item,at,how\na,1,2024-03-01,bought\nb,2,2024-03-01,not_bought\nc,2,2024-03-02,\n"
    plain = {
        "where": {},
        "lists": {},
        "explode": [],
        "columns": {"user_id": "user", "item_id": "item", "event_time": "at", "price": "item", "slot": "item"},
    }  # fmt: skip
    for equals, expected in (("bought", [1, 0, 0]), (["bought", "not_bought"], [1, 1, 0])):
        labels = {"click": {"column": "how", "equals": equals}}
        rows = _alone(changed(tmp_path, text, **plain, labels=labels))
        assert [row["label_click"] for row in rows] == expected


def _alone(definition: DatasetDefinition) -> list[dict[str, Any]]:
    without = definition.model_dump(mode="json") | {
        "behaviors": [],
        "counters": [],
        "derived_behaviors": {"actions": {"click": "click"}},
    }
    return interactions(DatasetDefinition.parse(without))


@pytest.mark.parametrize(
    ("written", "keys", "expected"),
    [
        ("2024-03-01", {"time_of_day": "12:30"}, "2024-03-01T12:30:00"),
        ("20240301", {"time_of_day": "23:59:59"}, "2024-03-01T23:59:59"),
        ("2024-03-01 10:00", {"time_of_day": "12:30"}, "2024-03-01T10:00:00"),
        ("05.03.2024 08:15", {"time_format": "%d.%m.%Y %H:%M"}, "2024-03-05T08:15:00"),
        ("05.03.2024", {"time_format": "%d.%m.%Y", "time_of_day": "06:00"}, "2024-03-05T06:00:00"),
        ("05/03/2024 08:15 +0200", {"time_format": "%m/%d/%Y %H:%M %z"}, "2024-05-03T06:15:00"),
    ],
)
def test_times_are_what_the_definition_says(
    tmp_path: Path, written: str, keys: dict[str, str], expected: str
) -> None:
    text = f"user,item,at,c\na,1,{written},1\n"
    columns = {"user_id": "user", "item_id": "item", "event_time": "at", "price": "item", "slot": "item"}  # fmt: skip
    plain = {"where": {}, "lists": {}, "explode": [], "columns": columns}
    labels = {"click": {"column": "c"}}
    (row,) = _alone(changed(tmp_path, text, **plain, labels=labels, **keys))
    moment = pl.Series([row["event_time"]]).cast(pl.Datetime("ms")).dt.strftime("%FT%T")[0]
    assert moment == expected


def test_a_time_written_otherwise_is_refused_with_its_row(tmp_path: Path) -> None:
    text = "user,item,at,c\na,1,05.03.2024,1\na,1,2024-03-05,1\n"
    columns = {"user_id": "user", "item_id": "item", "event_time": "at", "price": "item", "slot": "item"}  # fmt: skip
    plain = {"where": {}, "lists": {}, "explode": [], "columns": columns}
    definition = changed(
        tmp_path, text, **plain, labels={"click": {"column": "c"}}, time_format="%d.%m.%Y"
    )
    with pytest.raises(
        DataError, match="row 2, holds '2024-03-05', which is not a time written as"
    ):
        _alone(definition)


def test_row_numbers_of_refusals_are_those_of_the_file(tmp_path: Path) -> None:
    text = SESSIONS.replace("9|7,61|75", "9|,61|75")
    with pytest.raises(DataError, match="row 5, lacks an id"):
        interactions(changed(tmp_path, text))


def test_lists_of_parquet_need_no_word(tmp_path: Path) -> None:
    table = pa.table({"u": [1], "seen": [[5, 6]], "at": ["2024-03-01"], "bought": ["5,6"]})
    pq.write_table(table, tmp_path / "log.parquet")
    definition = changed(
        tmp_path,
        paths=["log.parquet"],
        where={},
        lists={"bought": ","},
        explode=["seen"],
        columns={"user_id": "u", "item_id": "seen", "event_time": "at", "price": "u", "slot": "$position"},
        labels={"click": {"column": "bought", "contains_item": True}},
    )  # fmt: skip
    assert [(r["item_id"], r["slot"], r["label_click"]) for r in _alone(definition)] == [
        (5, 1.0, 1),
        (6, 2.0, 1),
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"explode": []}, "there is no `explode`"),
        ({"time_of_day": "25:00"}, "not an instant of the day"),
        ({"where": {"type": {"none_of": []}}}, "where"),
        (
            {"labels": {"click": {"column": "reference", "equals_item": True, "at_least": 1}}},
            "at_least and equals_item exclude each other",
        ),
        ({"time_unit": "s", "time_format": "%Y"}, "time_unit says that times are numbers"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, source: dict[str, Any], said: str
) -> None:
    with pytest.raises(DefinitionError, match=said):
        changed(tmp_path, **source)


def test_a_column_that_where_or_lists_name_must_exist(tmp_path: Path) -> None:
    for key, value in (("where", {"kind": "x"}), ("lists", {"kind": "|"})):
        with pytest.raises(DefinitionError, match=rf"{key}\.kind: .* has no column 'kind'"):
            interactions(changed(tmp_path, **{key: value}))


def test_items_come_into_being_at_a_stated_instant(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,made\n7,2024-02-01\n9,\n")
    value = IN_ONE | {
        "root": str(tmp_path),
        "items": [
            {"paths": ["items.csv"], "columns": {"item_id": "item", "made": "made"}, "time_of_day": "09:00"}
        ],
        "item_created_at": "made",
    }  # fmt: skip
    (tmp_path / "log.csv").write_text(SESSIONS)
    definition = DatasetDefinition.parse(value)
    ((_, frame),) = read_dimension(definition, infer_types(definition), "items")
    assert frame["created_at"].to_list() == [1706778000000, None]


@pytest.mark.parametrize("own", [False, True])
def test_a_category_of_several_values_is_columns_that_share_their_ids(
    tmp_path: Path, own: bool
) -> None:
    if own:
        genres = [["jazz", "folk"], ["folk"], None]
        pq.write_table(pa.table({"item": [7, 9, 12], "genres": genres}), tmp_path / "items.parquet")
    else:
        (tmp_path / "items.csv").write_text("item,genres\n7,jazz|folk\n9,folk\n12,\n")
    shared = {"name": "genre_2", "vocabulary": "genre_1"}
    value = IN_ONE | {
        "root": str(tmp_path),
        "items": [
            {
                "paths": ["items.parquet" if own else "items.csv"],
                "lists": {"genres": "list" if own else "|"},
                "columns": {"item_id": "item", "genre_1": "genres[1]", "genre_2": "genres[2]"},
            }
        ],
        "categorical": [*IN_ONE["categorical"], {"name": "genre_1"}, shared],
    }
    (tmp_path / "log.csv").write_text(SESSIONS)
    definition = DatasetDefinition.parse(value)
    ((_, frame),) = read_dimension(definition, infer_types(definition), "items")
    assert frame.select("item_id", "genre_1", "genre_2").rows() == [
        (7, "jazz", "folk"),
        (9, "folk", ""),
        (12, "", ""),
    ]


@pytest.mark.parametrize(
    ("name", "genres", "said", "words"),
    [
        ("genres[0]", "a|b", {"genres": "|"}, r"genres\[1\], the first"),
        ("genres[1]", "a|b", {}, r"lists: \{genres: '|'\}"),
        ("genres[1]", "a|b", {"genres": "list"}, "holds string, not lists. Say"),
        (
            "genres[1]",
            ["a"],
            {"genres": "|"},
            "lists already, not text. Say `lists: {genres: list}",
        ),
        ("genres", "a|b", {"genres": "|"}, r"Take an element of it \(`genres\[1\]`"),
    ],
)
def test_an_element_of_what_is_no_such_list_is_refused_with_its_mend(
    tmp_path: Path, name: str, genres: Any, said: dict[str, str], words: str
) -> None:
    pq.write_table(pa.table({"item": [7], "genres": [genres]}), tmp_path / "items.parquet")
    source = {"paths": ["items.parquet"], "columns": {"item_id": "item", "genre": name}}
    value = {**IN_ONE, "root": str(tmp_path), "items": [{**source, "lists": said}]}
    value["categorical"] = [*IN_ONE["categorical"], {"name": "genre"}]
    (tmp_path / "log.csv").write_text(SESSIONS)
    with pytest.raises((DataError, DefinitionError), match=words):
        infer_types(DatasetDefinition.parse(value))


@pytest.mark.parametrize(
    ("how", "mend"),
    [
        ({"equals_item": True}, "Leave the column empty where it names no item"),
        ({"equals": 2}, "use `at_least`"),
    ],
)
def test_a_label_that_cannot_be_compared_has_a_mend_of_its_own(
    tmp_path: Path, how: dict[str, Any], mend: str
) -> None:
    value: dict[str, Any] = {**IN_ONE, "root": str(tmp_path)}
    columns = {"user_id": "user", "item_id": "item", "event_time": "at"}
    label = {"click": {"column": "told", **how}}
    value["interactions"] = [{"paths": ["log.parquet"], "columns": columns, "labels": label}]
    value["derived_behaviors"] = {"actions": {"click": "view"}}
    value |= {"behaviors": [], "numeric": []}
    rows = {"user": [1], "item": [2], "at": ["2024-03-01"], "told": [2.5]}
    pq.write_table(pa.table(rows), tmp_path / "log.parquet")
    definition = DatasetDefinition.parse(value)
    with pytest.raises(DataError) as error:
        list(read_interactions(definition, infer_types(definition)))
    assert mend in error.value.hint
