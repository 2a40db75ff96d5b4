"""A look at a definition and its log: all faults at once, facts, doubts, examples."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.cli.start import facts
from hemix.errors import DefinitionError
from hemix.features.checking.places import at_line
from hemix.features.definition import EXAMPLES, DatasetDefinition
from hemix.pipelines.local.check import look

PLAYS = "listener,song,at,seconds,liked\n" + "".join(
    f"{n % 3},s{n % 5},2024-09-0{1 + n // 20} 10:{n % 60:02d}:00,{n},{int(n % 4 == 0)}\n"
    for n in range(60)
)
RADIO: dict[str, Any] = {
    "name": "radio",
    "interactions": [
        {
            "paths": ["plays.csv"],
            "columns": {"user_id": "listener", "item_id": "song", "event_time": "at"},
            "labels": {"like": {"column": "liked"}},
        }
    ],
    "derived_behaviors": {"actions": {"like": "like"}, "otherwise": "skip"},
    "items": [{"paths": ["songs.csv"], "columns": {"item_id": "song", "length": "length"}}],
    "tasks": ["like"],
    "categorical": [{"name": "user_id"}, {"name": "item_id"}],
    "numeric": [{"name": "length"}],
    "counters": [{"key": ["user_id", "item_id"], "actions": ["like"], "since_last": True}],
    "split": {
        "train": {"start": "2024-09-01", "end": "2024-09-03"},
        "validation": {"start": "2024-09-02T10:35:00", "end": "2024-09-03"},
        "test": {"start": "2024-09-03", "end": "2024-09-04"},
    },
}


def write(
    folder: Path, plays: str = PLAYS, songs: str = "song,length\ns1,60\n", **more: Any
) -> Path:
    (folder / "plays.csv").write_text(plays)
    (folder / "songs.csv").write_text(songs)
    path = folder / "radio.yaml"
    path.write_text(yaml.safe_dump(RADIO | more))
    return path


def test_a_log_that_fits_is_told_with_five_examples(tmp_path: Path) -> None:
    definition = DatasetDefinition.load(write(tmp_path))
    found = look(definition)
    assert not found.faults
    assert not found.doubts
    assert [e["label_like"] for e in found.examples] == [1, 1, 0, 0, 0]
    assert all(e["event_time"].day == 2 for e in found.examples)  # the last day of training
    assert all(len(e["global_item_id"]) for e in found.examples)
    text = "\n".join(facts(definition, found))
    assert "60 rows, 3 users, 5 items" in text
    assert "2024-09-01T10:00:00.000+00:00, 2024-09-03T10:59:00.000+00:00" in text
    assert "like 15" in text
    assert "user_item_action_like_since" in text


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    plays = PLAYS.replace("10:07:00", "10h07").replace(",0\n", ",maybe\n", 1)
    path = write(tmp_path, plays, songs="song,length\ns1,long\ns2,longer\n")
    result = CliRunner().invoke(app, ["check", str(path)])
    told = str(result.exception)
    assert "3 faults" in told
    assert "interactions[0].columns.event_time" in told
    assert "row 8" in told
    assert "interactions[0].labels.like" in told
    assert "'maybe'" in told
    assert "items[0].columns.length" in told
    assert "'long'" in told
    assert getattr(result.exception, "exit_code", None) == 3


def test_a_column_that_is_not_there_is_told_with_its_line_and_its_like(tmp_path: Path) -> None:
    labels = {"like": {"column": "likd"}}
    path = write(tmp_path, interactions=[{**RADIO["interactions"][0], "labels": labels}])
    result = CliRunner().invoke(app, ["check", str(path)])
    told = str(result.exception)
    line = 1 + path.read_text().splitlines().index("      column: likd")
    assert re.search(rf"line {line - 1}: interactions\[0\]\.labels\.like: .*plays\.csv", told)
    assert "has no column 'likd'; did you mean 'liked'? It has: at, liked, " in told
    assert getattr(result.exception, "exit_code", None) == 2


def test_a_step_that_misses_a_column_names_the_line_too(tmp_path: Path) -> None:
    path = write(tmp_path, PLAYS.replace("listener,", "listner,"))
    lines = DatasetDefinition.lines(path)
    (fault,) = look(DatasetDefinition.load(path)).faults
    key = "interactions[0].columns.user_id"
    told = at_line(fault, lines, "radio.yaml")
    assert isinstance(told, DefinitionError)
    assert told.message.startswith(f"radio.yaml: line {lines[key]}: {key}: ")
    assert told.hint == fault.hint
    other = DefinitionError("elsewhere: no.")
    assert at_line(other, lines) is other


def test_every_missing_column_and_file_is_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, PLAYS.replace("listener,song", "user,track"))
    (tmp_path / "songs.csv").unlink()
    told = "\n".join(str(error) for error in look(DatasetDefinition.load(path)).faults)
    assert len(told.splitlines()) == 3
    assert "no column 'listener'" in told
    assert "no column 'song'" in told
    assert "no file matches" in told


def test_what_a_run_would_not_refuse_is_a_doubt(tmp_path: Path) -> None:
    split = {
        "train": {"start": "2024-09-01", "end": "2024-09-03"},
        "test": {"start": "2025-09-03", "end": "2025-09-04"},
    }
    plays = PLAYS.replace("0,s", "a,s").replace("1,s", "A,s")
    path = write(tmp_path, plays, songs="song,length\nother,7\n", split=split)
    doubts = look(DatasetDefinition.load(path)).doubts
    assert any(d.startswith("split.test: no interaction lies in it") for d in doubts)
    assert any(d.startswith("user_id: 1 values differ") for d in doubts)
    assert any(d.startswith("length: missing in all") for d in doubts)


def test_only_the_head_of_a_file_is_read_unless_all_is_wanted(tmp_path: Path) -> None:
    definition = DatasetDefinition.load(write(tmp_path))
    import hemix.features.sources.shaping as shaping

    batches = [rows.table.num_rows for rows in _batches(definition)]
    with shaping.at_most(0):
        assert not list(_batches(definition))
    assert sum(batches) == 60


def _batches(definition: DatasetDefinition) -> Any:
    from hemix.features.sources.locations import find_files
    from hemix.features.sources.shaping import rows_of

    source = definition.interactions[0]
    (file,) = find_files(definition, source, "interactions[0]")
    return rows_of(source, file, ["song"], "interactions[0]", 16)


def test_an_action_that_the_log_lacks_is_named(tmp_path: Path) -> None:
    behaviors = [
        {
            "paths": ["plays.csv"],
            "columns": {"user_id": "listener", "item_id": "song", "event_time": "at", "action": "liked"},
        }
    ]  # fmt: skip
    counters = [{"key": "user_id", "actions": ["2"]}]
    path = write(tmp_path, behaviors=behaviors, counters=counters)
    (fault,) = look(DatasetDefinition.load(path)).faults
    assert "counters[0].actions: no behaviour has the action '2'" in str(fault)


def test_recipes_are_listed() -> None:
    result = CliRunner().invoke(app, ["recipes"])
    assert result.exit_code == 0
    assert "compact" in result.output
    assert "DCN V2: cross layers of a matrix each" in result.output
    assert "partial" not in result.output


def test_the_session_log_of_the_tutorial_fits_its_definition(tmp_path: Path) -> None:
    script = runpy.run_path(str(EXAMPLES / "hotels" / "make_data.py"))
    script["main"](tmp_path, 200)
    found = look(DatasetDefinition.load("hotels", {"root": str(tmp_path)}))
    assert not found.faults
    assert not found.doubts
    assert found.summary["rows"]["interactions"] == 200 * 15
    assert found.summary["label_rates"]["click"] == 1 / 15
    assert any(example["realtime_same_item"] for example in found.examples)


def test_a_fault_is_told_once_and_no_key_of_a_recipe_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path, PLAYS.replace("s1,", '"s1,', 1))  # a quote that nothing closes
    (fault,) = look(DatasetDefinition.load(path)).faults
    assert "begins with a quote" in fault.message
    result = CliRunner().invoke(app, ["check", str(path), "--set", "training.seed=1"])
    assert "training.seed: a definition has no such key" in str(result.exception)


def test_rows_that_no_rule_takes_are_told_with_the_rule(tmp_path: Path) -> None:
    (source,) = RADIO["interactions"]
    path = write(tmp_path, interactions=[{**source, "where": {"song": "s99"}}])
    (fault,) = look(DatasetDefinition.load(path)).faults
    assert fault.hint == "Check interactions[].paths, where."
