"""What is read from a compiled pipeline, on the pipelines that hemix has."""

from __future__ import annotations

import pytest

from hemix.pipelines.compiler.compiler import compiled
from hemix.pipelines.kfp_client.spec import gates_of, inputs_of, spec_of, tasks_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def retraining() -> dict[str, object]:
    return spec_of(compiled("retraining"))


def test_the_tasks_of_nested_pipelines_are_those_that_do_work(
    retraining: dict[str, object],
) -> None:
    tasks = tasks_of(retraining)
    assert [t for t in tasks if not t.startswith("stop")] == [
        "plan",
        "ingest",
        "validate-data",
        "build-examples",
        "transform",
        "validate-features",
        "register-features",
        "train",
        "evaluate",
        "validate-model",
        "deploy",
        "report",
    ]


def test_each_stop_knows_its_gate(retraining: dict[str, object]) -> None:
    gates = gates_of(retraining)
    stops = {task: gate for task, gate in gates.items() if task.startswith("stop")}
    assert sorted(stops.values()) == [
        "register-features",
        "validate-data",
        "validate-features",
        "validate-model",
    ]


def test_the_parameters_are_the_pipelines_own(retraining: dict[str, object]) -> None:
    inputs = inputs_of(retraining)
    assert inputs["scheduled_time"]["parameterType"] == "STRING"
    assert not inputs["definition"].get("isOptional")
