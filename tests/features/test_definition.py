"""Definitions: what they say, and how they refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from hemix.errors import DefinitionError
from hemix.features.declared_sources import Sequences
from hemix.features.definition import EXAMPLES, DatasetDefinition
from hemix.features.schema import ColumnTypes, examples_schema


@pytest.fixture
def kuairand() -> dict[str, object]:
    return yaml.safe_load((EXAMPLES / "kuairand" / "definition.yaml").read_text())


def _write(folder: Path, value: object) -> Path:
    path = folder / "definition.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def test_shipped_definitions_survive_json() -> None:
    for path in sorted(EXAMPLES.glob("*/definition.yaml")):
        definition = DatasetDefinition.load(path.parent.name)
        assert DatasetDefinition.parse(definition.to_json()) == definition


def test_unknown_key_is_named(tmp_path: Path, kuairand: dict[str, object]) -> None:
    kuairand["sequences"]["globl_length"] = 3  # type: ignore[index]
    with pytest.raises(DefinitionError, match=r"sequences\.globl_length"):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_unknown_field_is_named(tmp_path: Path, kuairand: dict[str, object]) -> None:
    kuairand["categorical"].append({"name": "colour"})  # type: ignore[attr-defined]
    with pytest.raises(
        DefinitionError, match=r"categorical\[21\]\.name: no source has a column 'colour'"
    ):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_unknown_data_set_lists_the_shipped_ones() -> None:
    with pytest.raises(DefinitionError, match="kuairand"):
        DatasetDefinition.load("nosuch")


def test_not_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("a: [")
    with pytest.raises(DefinitionError, match=r"d\.yaml: not valid YAML"):
        DatasetDefinition.load(tmp_path / "d.yaml")


def test_overrides_reach_nested_keys() -> None:
    definition = DatasetDefinition.load("kuairand", {"split.train.end": "2022-04-29"})
    assert definition.split.train.end == datetime(2022, 4, 29, tzinfo=UTC)


def test_a_value_that_was_set_has_no_line() -> None:
    with pytest.raises(DefinitionError, match=r"definition\.yaml: split\.train\.end: 20220429 is"):
        DatasetDefinition.load("kuairand", {"split.train.end": 20220429})
    with pytest.raises(DefinitionError, match=r"cannot set 'name\.x': 'name' has no 'x'"):
        DatasetDefinition.load("kuairand", {"name.x": 1})
    made = DatasetDefinition.load("kuairand", {"categorical.3.min_count": 4})
    assert made.categorical[3].min_count == 4


def test_split_digest_is_separate() -> None:
    one = DatasetDefinition.load("kuairand")
    two = DatasetDefinition.load("kuairand", {"split.train.end": "2022-04-29"})
    assert one.digest() != two.digest()
    assert one.digest(without_split=True) == two.digest(without_split=True)


def test_split_of_the_sequences() -> None:
    rule = DatasetDefinition.load(
        "kuairand", {"sequences.realtime_window": "last", "sequences.overlap": True}
    )
    assert (rule.sequences.realtime_window, rule.sequences.overlap) == ("last", True)
    assert DatasetDefinition.parse(rule.to_json()) == rule
    six_hours = DatasetDefinition.load("kuairand", {"sequences.realtime_window": "6h"})
    assert six_hours.sequences.realtime_window == 6 * 3600


@pytest.mark.parametrize("window", ["week", -1, None, "last 20", ["day"]])
def test_a_window_that_is_none_is_told_what_there_is(window: object) -> None:
    message = r"sequences\.realtime_window: .* write day, last, or a length of time such as 30m"
    with pytest.raises(DefinitionError, match=message):
        DatasetDefinition.load("kuairand", {"sequences.realtime_window": window})


@pytest.mark.parametrize("buckets", [0, -1, 2_000_000_000, "many"])
def test_buckets_of_unknown_values_are_as_many_as_a_table_can_hold(buckets: object) -> None:
    fields = [{"name": "item_id", "oov_buckets": buckets}]
    with pytest.raises(DefinitionError, match=rf"categorical\[0\]\.oov_buckets: .*{buckets}"):
        DatasetDefinition.load("kuairand", {"categorical": fields})


def test_overlap_is_true_or_false() -> None:
    with pytest.raises(DefinitionError, match=r"sequences\.overlap: .*boolean"):
        DatasetDefinition.load("kuairand", {"sequences.overlap": "some"})


def test_a_definition_without_overlap_keeps_its_digest() -> None:
    # Written down: a key that is not set must not rename what was made before it existed.
    assert Sequences().model_dump_json() == (
        '{"columns":[],"global_length":50,"realtime_length":20,"realtime_window":"day",'
        '"availability_delay":0}'
    )
    disjoint, overlapping = (
        DatasetDefinition.load("kuairand", {"sequences.overlap": overlap})
        for overlap in (False, True)
    )
    assert disjoint.digest() == DatasetDefinition.load("kuairand").digest()
    assert disjoint.digest() != overlapping.digest()


def test_validation_is_the_tail_of_training() -> None:
    windows = DatasetDefinition.load("kuairand").split.windows()
    assert windows["train"].end == windows["validation"].start
    assert windows["validation"].end == datetime(2022, 4, 30, 16, tzinfo=UTC)
    length = windows["validation"].end - windows["validation"].start
    assert length.total_seconds() == 145 * 3600 / 10


def test_overlapping_windows_are_refused() -> None:
    with pytest.raises(DefinitionError, match="test window starts before"):
        DatasetDefinition.load("kuairand", {"split.train.end": "2022-05-03"})


def test_sides() -> None:
    definition = DatasetDefinition.load("kuairand")
    assert definition.side_of("tab") == "context"
    assert definition.side_of("register_days") == "user"
    assert definition.side_of("author_click_1d") == "item"
    assert definition.side_of("user_click_1d") == "user"


def test_schema_follows_the_definition() -> None:
    import pyarrow as pa

    definition = DatasetDefinition.load("kuairand")
    types = ColumnTypes(
        user_id=pa.int64(),
        item_id=pa.int64(),
        users={name: pa.int64() for name in definition.user_columns},
        items={name: pa.string() for name in definition.item_columns},
        context={name: pa.int64() for name in definition.context_columns},
    )
    assert ColumnTypes.from_json(types.to_json()) == types
    schema = examples_schema(definition, types)
    assert schema.field("global_tag").type == pa.list_(pa.string())
    assert len(set(schema.names)) == len(schema.names)


def test_a_field_has_one_meaning(tmp_path: Path, kuairand: dict[str, object]) -> None:
    kuairand["numeric"].append({"name": "tab"})  # type: ignore[attr-defined]
    with pytest.raises(DefinitionError, match=r"numeric\[6\]: 'tab' is listed under categorical"):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_a_field_comes_from_one_table(tmp_path: Path, kuairand: dict[str, object]) -> None:
    kuairand["users"][0]["columns"]["tag"] = "tag"  # type: ignore[index]
    with pytest.raises(
        DefinitionError, match=r"items\[0\]\.columns\.tag: 'tag' is a column of users too"
    ):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_item_creation_time_is_a_column_of_items(
    tmp_path: Path, kuairand: dict[str, object]
) -> None:
    kuairand["item_created_at"] = "tab"
    with pytest.raises(DefinitionError, match="item_created_at: 'tab' must be a column of items"):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_slices_are_fields(tmp_path: Path, kuairand: dict[str, object]) -> None:
    kuairand["slices"] = ["tabb"]
    with pytest.raises(
        DefinitionError, match=r"slices\[0\]: 'tabb' is not a field; did you mean 'tab'"
    ):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_a_validation_that_leaves_no_training_is_refused() -> None:
    from tests.odd_logs import bare

    split = {
        "train": {"start": "2024-03-01", "end": "2024-03-03"},
        "test": {"start": "2024-03-03", "end": "2024-03-04"},
    }
    for start in ("2024-03-01", "2024-02-28"):
        validation = {"start": start, "end": "2024-03-02"}
        with pytest.raises(DefinitionError, match="split: the validation window starts where"):
            DatasetDefinition.parse(bare(split={**split, "validation": validation}))


@pytest.mark.parametrize(
    ("task", "label", "told"),
    [
        ("clik", "click", r"line \d+: tasks\[0\]: there is no label 'clik'; did you mean 'click'"),
        (
            "click",
            "clik",
            r"line \d+: .*labels\.clik: there is no task 'clik'; did you mean 'click'",
        ),
    ],
)
def test_the_end_that_is_misspelt_is_told_alone(
    tmp_path: Path, kuairand: dict[str, object], task: str, label: str, told: str
) -> None:
    kuairand["tasks"] = [task, "long_view"]
    labels = kuairand["interactions"][0]["labels"]  # type: ignore[index]
    labels[label] = labels.pop("click")
    with pytest.raises(DefinitionError, match=rf"definition\.yaml: {told}"):
        DatasetDefinition.load(_write(tmp_path, kuairand))


def test_broken_json_is_told_as_json(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{"name": "x",\n "tasks": [}')
    with pytest.raises(DefinitionError, match=r"d\.json: not valid JSON: .* \(line 2\)"):
        DatasetDefinition.load(tmp_path / "d.json")


def test_a_file_that_is_not_there_is_told_with_those_called_so(tmp_path: Path) -> None:
    (tmp_path / "radio.yaml").write_text("a: 1")
    for name in ("radoi.yaml", "radio.json", "radio"):
        with pytest.raises(DefinitionError, match=r"did you mean \S*radio\.yaml\?"):
            DatasetDefinition.load(tmp_path / name)
    with pytest.raises(DefinitionError) as refused:
        DatasetDefinition.load(tmp_path / "other.yaml")
    assert "did you mean" not in refused.value.message
    assert "hemix init" in refused.value.hint
