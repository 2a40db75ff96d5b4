"""The compiled pipelines are what the golden files say; `make golden` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix.components.steps import BY_NAME, GATES, STEPS, image_of
from hemix.errors import DefinitionError
from hemix.pipelines.compiler.checking import check
from hemix.pipelines.compiler.compiler import (
    PIPELINES,
    compile_to,
    compiled,
    compiled_component,
    pipeline_named,
)
from tests.pipelines.ir import documents, tasks_of, text_of

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden"


def _tasks(spec: dict[str, Any], dag: dict[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    """Every task with the conditions that stand above it."""
    found: dict[str, Any] = {}
    for name, task in dag["tasks"].items():
        condition = task.get("triggerPolicy", {}).get("condition")
        component = spec["components"][task["componentRef"]["name"]]
        if condition:
            for inner, conditions in _tasks(spec, component["dag"], (*above, condition)).items():
                found[f"{inner}:{conditions[-1]}" if inner == "stop" else inner] = conditions
        else:
            found[name.replace("-", "_")] = above
    return found


@pytest.mark.parametrize("name", PIPELINES)
def test_equals_the_golden_file(name: str) -> None:
    golden = (GOLDEN / f"{name}.yaml").read_text()
    assert text_of(name) == golden, "the pipeline changed; when that is meant: make golden"


def test_there_is_a_golden_file_for_each_pipeline_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(PIPELINES)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_passes_its_check(name: str) -> None:
    assert check(text_of(name), name).tasks


def test_each_gate_guards_all_that_follows_and_stops_the_run_otherwise() -> None:
    spec, _ = documents("training")
    tasks = _tasks(spec, spec["root"]["dag"], ())
    stops = {name: above for name, above in tasks.items() if name.startswith("stop")}
    assert sorted(set(tasks) - set(stops)) == sorted(STEPS)
    for step in STEPS:
        gates = [gate for gate in GATES if STEPS.index(gate) < STEPS.index(step)]
        assert len(tasks[step]) == len(gates)
        for gate, condition in zip(gates, tasks[step], strict=True):
            assert gate.replace("_", "-") + "-Output" in condition
            assert condition.endswith("== true")
    assert len(stops) == len(GATES)
    for number, above in enumerate(sorted(stops.values(), key=len)):
        *passed, failed = above
        assert all(condition.endswith("== true") for condition in passed)
        assert len(passed) == number
        assert GATES[number].replace("_", "-") + "-Output" in failed
        assert failed.endswith("== false")


def test_retraining_plans_and_then_is_the_training_pipeline() -> None:
    spec, _ = documents("retraining")
    training, _ = documents("training")
    nested = spec["components"]["comp-training"]
    assert nested["inputDefinitions"] == training["root"]["inputDefinitions"]
    assert sorted(nested["dag"]["tasks"]) == sorted(training["root"]["dag"]["tasks"])
    (condition,) = (t for n, t in spec["root"]["dag"]["tasks"].items() if n != "plan")
    assert condition["triggerPolicy"]["condition"].endswith("== true")


def test_backfill_loops_over_days_with_bounded_parallelism() -> None:
    spec, _ = documents("backfill")
    (loop,) = (t for t in spec["root"]["dag"]["tasks"].values() if "parameterIterator" in t)
    assert loop["iteratorPolicy"] == {"parallelismLimit": 4}
    assert loop["dependentTasks"] == ["days", "ingest"]


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_runs_in_its_image_and_installs_nothing(name: str) -> None:
    spec, _ = documents(name)
    for label, executor in spec["deploymentSpec"]["executors"].items():
        step = label.removeprefix("exec-").replace("-", "_").rstrip("_0123456789")
        assert executor["container"]["image"] == image_of(step)
        assert not any("pip install" in part for part in executor["container"]["command"])


def test_what_is_cached_has_the_code_in_its_key() -> None:
    cached = 0
    for name in PIPELINES:
        spec, _ = documents(name)
        for component, task in tasks_of(spec):
            if task["cachingOptions"].get("enableCache"):
                cached += 1
                inputs = spec["components"][component]["inputDefinitions"]
                assert "revision" in inputs["parameters"], component
    assert cached > 10


def test_a_bare_pipeline_has_no_retries() -> None:
    """kfp.local would run them for real, with their pauses."""
    spec = pipeline_named("retraining").build().pipeline_spec
    dags = [spec.root.dag, *(c.dag for c in spec.components.values())]
    tasks = [task for dag in dags for task in dag.tasks.values()]
    assert len(tasks) > 20
    assert not any(task.HasField("retry_policy") for task in tasks)


@pytest.mark.parametrize("step", sorted(BY_NAME))
def test_every_step_compiles_alone(step: str) -> None:
    text = compiled_component(step)
    assert check(text, step).tasks == 1
    assert f"image: {image_of(step)}" in text


def test_a_component_file_goes_into_another_pipeline() -> None:
    from kfp import components, dsl

    train = components.load_component_from_text(compiled("component:train"))
    stop = components.load_component_from_text(compiled("component:stop"))

    @dsl.pipeline(name="theirs")
    def theirs():  # type: ignore[no-untyped-def]  # kfp reads annotations, and none as text
        verdict = dsl.importer(
            artifact_uri="s3://bucket/verdict.json", artifact_class=dsl.Artifact
        ).output
        stop(revision="r", verdict=verdict)

    assert set(train.component_spec.outputs) == {"model", "curves"}
    executors = theirs.pipeline_spec.deployment_spec["executors"]
    assert executors["exec-stop"]["container"]["image"] == image_of("stop")


def test_a_file_is_written(tmp_path: Path) -> None:
    compile_to("backfill", tmp_path / "below" / "x.yaml")
    assert (tmp_path / "below" / "x.yaml").read_text() == text_of("backfill")


@pytest.mark.parametrize(
    ("name", "told"),
    [("trainin", r"'trainin'.*training"), ("component:trian", r"'trian'.*validate_model")],
)
def test_an_unknown_name_is_named(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        compile_to(name, tmp_path / "x.yaml")
    assert not list(tmp_path.iterdir())


def test_the_texts_are_plain_yaml_of_two_documents() -> None:
    for name in PIPELINES:
        spec, platform = yaml.safe_load_all(text_of(name))
        assert spec["pipelineInfo"]["name"] == name
        assert set(platform) == {"platforms"}
