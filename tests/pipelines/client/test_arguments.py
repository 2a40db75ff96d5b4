"""Parameters of hemix's pipelines from what a person says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix import storage
from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.kfp_client.arguments import Wanted, arguments_of, parse_parameters
from hemix.pipelines.overrides import Overrides, parse_overrides
from hemix.serving.registry.transitions import RegistryState
from tests.features.definitions import plain

KINDS = {
    "a": {"parameterType": "STRING"},
    "b": {"parameterType": "NUMBER_INTEGER"},
    "c": {"parameterType": "NUMBER_DOUBLE"},
    "d": {"parameterType": "BOOLEAN"},
    "e": {"parameterType": "LIST"},
    "f": {"parameterType": "STRUCT"},
}
TRAINING: dict[str, dict[str, Any]] = {
    name: {}
    for name in (
        "definition",
        "events_definition",
        "source_fingerprint",
        "version",
        "feature_service",
        "revision",
        "registry",
        "feature_store",
        "checkpoints",
        "champion",
        "policy",
        "share",
        "online_store",
        "runner_options",
        "overrides",
        "record",
    )
} | {"recipe": {"defaultValue": "tiny"}}
RETRAINING = {
    name: kind
    for name, kind in TRAINING.items()
    if name in ("definition", "registry", "feature_store", "checkpoints", "recipe", "overrides")
} | {"scheduled_time": {"defaultValue": ""}}


def test_values_have_the_declared_types() -> None:
    said = ["a=7", "b=7", "c=7", "d=true", "e=[1, x]", "f={k: 2022-05-01}"]
    found = parse_parameters(said, KINDS, "small")
    assert found == {"a": "7", "b": 7, "c": 7.0, "d": True, "e": [1, "x"], "f": {"k": "2022-05-01"}}
    assert isinstance(found["c"], float)


def test_a_value_can_be_a_files(tmp_path: Path) -> None:
    path = tmp_path / "value.yaml"
    path.write_text("k: [1, 2]\n")
    found = parse_parameters([f"a=@{path}", f"f=@{path}"], KINDS, "small")
    assert found == {"a": "k: [1, 2]\n", "f": {"k": [1, 2]}}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("a=@absent.yaml", "absent.yaml"),
        ("a", "KEY=VALUE"),
        ("=1", "KEY=VALUE"),
        ("z=1", "no parameter 'z'"),
        ("e=[", "not a YAML"),
    ],
)
def test_parameters_that_cannot_be_read(said: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        parse_parameters([said], KINDS, "small")


def test_retraining_needs_no_log_here() -> None:
    wanted = Wanted(overrides=parse_overrides(["root=s3://logs/kuairand"]), root="s3://b/p")
    made = arguments_of("retraining", RETRAINING, wanted, {})
    assert json.loads(made.pop("definition"))["root"] == "s3://logs/kuairand"
    assert made == {
        "registry": "s3://b/p/registry",
        "feature_store": "s3://b/p/feature_store",
        "checkpoints": "s3://b/p/checkpoints",
    }


def test_training_is_planned_here(tmp_path: Path) -> None:
    wanted = Wanted(
        overrides=Overrides(recipe={"training.seed": "7"}),
        recipe="tiny",
        root=str(tmp_path),
        share=0.2,
        runner_options=("--x",),
        paths_in_pods=True,
    )
    made = arguments_of("training", TRAINING, wanted, {"champion": "given"})
    version = made["version"]
    assert made["checkpoints"] == f"{tmp_path}/checkpoints/{version}"
    assert made["feature_service"] == f"ranker_{version}"
    assert made["champion"] == "given"
    assert (made["recipe"], made["overrides"]) == ("tiny", {"training.seed": "7"})
    assert (made["share"], made["runner_options"]) == (0.2, ["--x"])
    assert not {"policy", "online_store", "record"} & set(made)
    DatasetDefinition.parse(json.loads(made["events_definition"]))


def test_the_name_of_a_version_does_not_depend_on_how_the_default_recipe_is_said(
    tmp_path: Path,
) -> None:
    said = Wanted(overrides=Overrides(), recipe="tiny", root=str(tmp_path), paths_in_pods=True)
    unsaid = Wanted(overrides=Overrides(), root=str(tmp_path), paths_in_pods=True)
    versions = [arguments_of("training", TRAINING, one, {})["version"] for one in (said, unsaid)]
    assert versions[0] == versions[1]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(overrides=Overrides(), root="s3://b/p"), r"on this machine.*--set root=s3://"),
        (
            Wanted(overrides=parse_overrides(["root=s3://logs"]), root="runs/here"),
            r"--root runs/here is on this machine",
        ),
        (
            Wanted(overrides=parse_overrides(["root=s3://logs", "training.sede=1"]), root="s3://b"),
            "training.sede",
        ),
        (
            Wanted(overrides=parse_overrides(["root=s3://logs"]), recipe="nosuch", root="s3://b"),
            "nosuch",
        ),
    ],
)
def test_what_the_cluster_could_not_use_is_refused_here(wanted: Wanted, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        arguments_of("retraining", RETRAINING, wanted, {})


def test_cleaning_takes_its_places_one_by_one() -> None:
    places = {"registry": "s3://a/r", "checkpoints": "s3://a/c", "exposures": "s3://a/e"}
    inputs: dict[str, dict[str, Any]] = {name: {} for name in (*places, "pipeline_root")}
    inputs |= {"feature_store": {"defaultValue": ""}}
    found = arguments_of("cleaning", inputs, Wanted(overrides=Overrides()), places)
    assert found == places
    found = arguments_of("cleaning", inputs, Wanted(overrides=Overrides(), root="s3://b/p"), {})
    assert found["feature_store"] == "s3://b/p/feature_store"


def test_a_share_is_below_one() -> None:
    wanted = Wanted(overrides=Overrides(), share=1.0)
    with pytest.raises(DefinitionError, match=r"--share 1\.0"):
        arguments_of("x", {"share": {}}, wanted, {})


def test_training_is_compared_with_the_champion_on_s3(bucket: str) -> None:
    state = RegistryState(champion="v1", champions=("v1",), versions={"v1": "champion"}, salt="x")
    storage.write_bytes(f"{bucket}/p/registry/state.json", state.model_dump_json().encode())
    inputs = {name: TRAINING[name] for name in ("version", "champion", "registry", "recipe")}
    wanted = Wanted(overrides=Overrides(), root=f"{bucket}/p", paths_in_pods=True)
    made = arguments_of("training", inputs, wanted, {})
    assert made["champion"] == f"{bucket}/p/registry/versions/v1"


def test_texts_of_the_definition_pass_through_templates(tmp_path: Path) -> None:
    text = "{{workflow.name}} {{$}} [[ScheduledTime]] $(POD_NAME) 7 %"
    path = tmp_path / "radio.yaml"
    path.write_text(yaml.safe_dump(plain(description=text)))
    wanted = Wanted(overrides=parse_overrides(["root=s3://logs/radio"]), dataset=path)
    made = arguments_of("x", {"definition": {}}, wanted, {})
    assert not any(mark in json.dumps(made) for mark in ("{{", "[[S", "$("))
    assert DatasetDefinition.parse(made["definition"]).description == text


def test_a_place_with_a_placeholder_is_refused() -> None:
    wanted = Wanted(overrides=Overrides(), root="s3://b/{{workflow.name}}")
    with pytest.raises(DefinitionError, match=r"registry: .*'\{\{'"):
        arguments_of("x", {"registry": {}}, wanted, {})


def test_a_policy_for_another_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("tasks: {click: {floors: {auc: 0.5}}, kept: {}}")
    root = parse_overrides(["root=s3://logs"])
    wanted = Wanted(overrides=root, policy=tmp_path / "p.yaml")
    with pytest.raises(DefinitionError, match=r"line 1: tasks\.kept: there is no task 'kept'"):
        arguments_of("x", {"definition": {}, "policy": {}}, wanted, {})
    found = arguments_of("x", {"policy": {}}, wanted, {})["policy"]
    assert json.loads(found) == {"tasks": {"click": {"floors": {"auc": 0.5}}, "kept": {}}}


@pytest.mark.parametrize(
    ("pipeline", "good", "wrong"),
    [
        ("experiment", "minimum_users: 900", "floors: {auc: 0.7}"),
        ("monitoring", "window_hours: 12", "minimum_users: 900"),
        ("retraining", "floors: {auc: 0.7}", "window_hours: 12"),
    ],
)
def test_each_pipeline_reads_a_policy_of_its_own(
    tmp_path: Path, pipeline: str, good: str, wrong: str
) -> None:
    path = tmp_path / "p.yaml"
    wanted = Wanted(overrides=parse_overrides(["root=s3://logs"]), policy=path)
    path.write_text(good)
    assert json.loads(arguments_of(pipeline, {"policy": {}}, wanted, {})["policy"])
    path.write_text(wrong)
    with pytest.raises(DefinitionError, match=f"line 1: {wrong.split(':')[0]}"):
        arguments_of(pipeline, {"policy": {}}, wanted, {})


def test_a_policy_is_refused_where_none_is_read(tmp_path: Path) -> None:
    wanted = Wanted(overrides=Overrides(), policy=tmp_path / "p.yaml")
    with pytest.raises(DefinitionError, match="Pipeline backfill takes no --policy"):
        arguments_of("backfill", {"first": {}}, wanted, {})
