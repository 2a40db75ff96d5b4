"""A definition with faults: all of them are told at once, each with line, key, value and mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from tests.features.definitions import plain


def _refused(value: dict[str, Any]) -> str:
    with pytest.raises(DefinitionError) as error:
        DatasetDefinition.parse(value)
    assert error.value.exit_code == 2
    return error.value.message


def test_all_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    value = plain(
        split__train__start=20310201,
        categorical__2={"name": "source", "vocabulary": "gernre"},
        sequences__colums=["genre"],
        numeric__1={"name": "agee"},
        counters__0={"key": "user_id", "events": ["herd"]},
        slices=["sauce"],
        users__0__paths="u.csv",
    )
    text = yaml.safe_dump(value, sort_keys=False) + "slices: [plan]\n"
    path = tmp_path / "radio.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as error:
        DatasetDefinition.load(path)
    told = error.value.message.splitlines()
    assert "8 faults" in told[0]
    lines = text.splitlines()

    def line(words: str) -> int:
        return next(n for n, text in enumerate(lines, 1) if words in text)

    last = len(lines)
    for number, words in [
        (
            line("start: 20310201"),
            "split.train.start: 20310201 is a number, not a time; write 2031-02-01",
        ),
        (
            line("gernre"),
            "categorical[2].vocabulary: 'gernre' is no categorical field; did you mean 'genre'",
        ),
        (line("colums"), "sequences.colums: no such key; did you mean columns?"),
        (line("agee"), "numeric[1].name: no source has a column 'agee'; did you mean 'age'"),
        (line("events"), "counters[0].events: there is no event 'herd'; did you mean 'heard'"),
        (line("sauce"), "slices[0]: 'sauce' is not a field; did you mean 'source'"),
        (line("paths: u.csv"), "users[0].paths: a list is wanted"),
        (last, "slices: the key is given twice"),
    ]:
        assert any(f"line {number}: {words}" in text for text in told), (number, words, told)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("split__train__end", 20310220, "write 2031-02-20"),
        ("split__train__end", 2031, "2031 is a number"),
        ("split__train__end", 1e9, "is a number"),
        ("split__train__end", "1e9", "is not a time"),
        ("split__train__end", "2031-02", "is not a time; write it like"),
        ("split__train__end", True, "True is not a time; write it like"),
        ("split__train__end", "0001-01-01T00:00:00+02:00", "not a time of a log"),
        ("split__train__end", "2031-02-01T00:00:10", "shorter than"),
        ("split__validation", {"start": "2031-01-01", "end": "2031-02-20"}, "or before"),
        ("split__validation", {"start": "2031-02-05", "end": "2031-02-07"}, "in neither"),
        ("split__validation", {"start": "2031-02-20", "end": "2031-02-23"}, "after the test"),
        ("split__train__end", ["2031-02-20"], "['2031-02-20'] is not a time; write it like"),
        ("sequences__availability_delay", 1.5, "not a length of time"),
        ("sequences__availability_delay", True, "not a length of time"),
        ("sequences__availability_delay", "12:30", "not a length of time"),
        ("sequences__availability_delay", "90000d", "more than"),
        ("sequences__global_length", True, "true is not a number"),
        ("categorical__1__min_count", True, "not a number"),
        ("sequences__columns", "genre", "a list is wanted"),
        ("sequences", ["genre"], "keys and values are wanted"),
        ("description", 7, "7 is not text; put it in quotes"),
        ("interactions__0__columns__volume", None, "valid string"),
        ("interactions__0__labels__kept", {"column": "k", "at_least": float("nan")}, "finite"),
        (
            "interactions__0__labels__kept",
            {"column": "k", "at_least": 1, "contains_item": True},
            "exclude each other",
        ),
        ("interactions__0__constants", {"source": "x"}, "is in columns too"),
        (
            "interactions__0__constants",
            {"page": None},
            "constants.page: a text, a number, true or false is wanted, not an empty value",
        ),
        ("behaviors", [{"paths": ["b"], "columns": {"mood": "m"}}], "no column 'mood'"),
        ("derived_behaviors__actions__heard", "", "needs a name"),
        ("derived_behaviors__otherwise", " ", "needs a name"),
        ("derived_behaviors__actions", {"herd": "x"}, "did you mean 'heard'"),
        ("slices", ["plan", "plan"], "is given twice"),
        ("sequences__columns", ["genre", "genre"], "is given twice"),
        ("sequences__columns", ["plan"], "must be a column of items"),
        ("counters__0__windows", ["1h", "1h"], "is given twice"),
        ("counters__0__windows", ["1 h"], "is not like"),
        ("counters__0__windows", ["0h"], "is not like"),
        ("counters__0__key", "plan", "must be user_id, item_id or an item column"),
        ("item_created_at", "plan", "must be a column of items"),
        ("categorical__3__vocabulary", "age", "no categorical field"),
        ("tasks", ["heard", "heard"], "is given twice"),
        ("time_fields", ["hour", "hour"], "is given twice"),
        ("time_fields", ["minute"], "'hour' or 'weekday'"),
        ("time_fields", ["weekdy"], "'hour' or 'weekday', not 'weekdy'; did you mean 'weekday'?"),
        ("time_fields", [None], "'hour' or 'weekday', not an empty value"),
    ],
)
def test_values_that_are_refused(key: str, value: object, words: str) -> None:
    assert words in _refused(plain(**{key: value}))


def test_faults_are_sentences() -> None:
    assert _refused(plain(slice=["plan"])).endswith("no such key; did you mean slices?")
    nothing = _refused(plain(items=[], sequences={"columns": ["plan"]}))
    assert "'plan' must be a column of items; there is none." in nothing


def test_a_vocabulary_is_one_fields_own() -> None:
    shared = plain(categorical__2__vocabulary="plan")
    assert DatasetDefinition.parse(shared).categorical[2].vocabulary == "plan"
    chain = plain(categorical__2__vocabulary="plan", categorical__3__vocabulary="genre")
    assert "has itself the ids of 'genre'" in _refused(chain)
    counted = plain(categorical__2__vocabulary="plan", categorical__2__min_count=5)
    assert "leave it out" in _refused(counted)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2031-02-01", "2031-02-01T00:00:00+00:00"),
        ("'20310201'", "2031-02-01T00:00:00+00:00"),
        ("2031-02-01 06:00:00 +02:00", "2031-02-01T04:00:00+00:00"),
        ("2031-02-01T06:00Z", "2031-02-01T06:00:00+00:00"),
    ],
)
def test_times_that_are_read(written: str, told: str, tmp_path: Path) -> None:
    text = yaml.safe_dump(plain(split__train__start="HERE")).replace("HERE", written)
    (tmp_path / "d.yaml").write_text(text)
    definition = DatasetDefinition.load(tmp_path / "d.yaml")
    assert definition.split.train.start.isoformat() == told


def test_words_that_yaml_once_took_for_truth_values_are_texts(tmp_path: Path) -> None:
    text = (
        yaml.safe_dump(plain())
        .replace("volume: volume", "volume: on")
        .replace("otherwise: skip", "otherwise: NO")
    )
    (tmp_path / "d.yaml").write_text(text.replace("paths:\n  - i.csv", "paths: [no]"))
    definition = DatasetDefinition.load(tmp_path / "d.yaml")
    assert definition.interactions[0].columns["volume"] == "on"
    assert definition.derived_behaviors.otherwise == "NO"  # type: ignore[union-attr]


def test_json_is_a_definition_too(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(plain(), indent="\t"))
    assert DatasetDefinition.load(tmp_path / "d.json").name == "radio"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "/abs",
        "a/b",
        "a b ",
        "dot.",
        "-dash",
        "con",
        "x" * 300,
        "日本",
        "a\nb",
    ],
)
def test_a_name_is_the_name_of_a_folder(name: str) -> None:
    assert "becomes a folder's name" in _refused(plain(name=name))


@pytest.mark.parametrize("name", ["radio", "EB-NeRD", "log_2.1", "7", "x" * 63])
def test_usual_names_are_kept(name: str) -> None:
    assert DatasetDefinition.parse(plain(name=name)).name == name


INTERACTIONS = plain()["interactions"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counters": [{"key": "user_id", "windows": []}]}, "it counts nothing"),
        ({"matches": [{"column": "genre", "sequences": []}]}, "it is empty; give 1 or more"),
        ({"tasks": []}, "tasks: it is empty; give 1 or more"),
        ({"interactions": [{**INTERACTIONS, "where": {"k": []}}]}, "is wanted, not []"),
        ({"interactions": [{**INTERACTIONS, "time_format": ""}]}, "time_format"),
        ({"interactions": [{**INTERACTIONS, "time_unit": "h"}]}, "time_unit"),
        (
            {"counters": [{"key": ["genre", "user_id"]}]},
            "a pair begins with user_id: [user_id, genre]",
        ),
        (
            {"categorical": [{"name": "source", "serve_as": 2**63}]},
            "categorical[0].serve_as",
        ),
        ({"numeric": [{"name": "volume", "serve_as": 1e39}]}, "numeric[0].serve_as"),
    ],
)
def test_what_would_say_nothing_and_what_no_column_holds(
    change: dict[str, Any], words: str
) -> None:
    told = _refused(plain(**change))
    assert words in told
    assert "Tuple" not in told  # a list is not empty because its one element has a fault
