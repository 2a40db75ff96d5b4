"""The compiled pipeline is what the golden file says; `make golden` writes it anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix.errors import DefinitionError
from pipelines.compiling import compile_to, compiled
from pipelines.steps import GATES, STEPS

GOLDEN = Path(__file__).parent / "golden" / "training.yaml"


@pytest.fixture(scope="module")
def text() -> str:
    return compiled("training")


@pytest.fixture(scope="module")
def spec(text: str) -> dict[str, Any]:
    return next(yaml.safe_load_all(text))


def _tasks(spec: dict[str, Any], dag: dict[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    """Every task with the conditions that stand above it."""
    found: dict[str, Any] = {}
    for name, task in dag["tasks"].items():
        condition = task.get("triggerPolicy", {}).get("condition")
        component = spec["components"][task["componentRef"]["name"]]
        if condition:
            found |= _tasks(spec, component["dag"], (*above, condition))
        else:
            found[name.replace("-", "_")] = above
    return found


def test_equals_the_golden_file(text: str) -> None:
    assert text == GOLDEN.read_text(), "the pipeline changed; when that is meant: make golden"


def test_each_gate_guards_all_that_follows(spec: dict[str, Any]) -> None:
    tasks = _tasks(spec, spec["root"]["dag"], ())
    assert sorted(tasks) == sorted(STEPS)
    for step, conditions in tasks.items():
        gates = [gate for gate in GATES if STEPS.index(gate) < STEPS.index(step)]
        assert len(conditions) == len(gates)
        for gate, condition in zip(gates, conditions, strict=True):
            assert gate.replace("_", "-") + "-Output" in condition
            assert condition.endswith("== true")


def test_every_step_runs_in_our_image_and_installs_nothing(spec: dict[str, Any]) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor["container"]["image"].startswith("hemix/python:")
        assert not any("pip install" in part for part in executor["container"]["command"])


def test_code_changes_reach_every_cache_key(spec: dict[str, Any]) -> None:
    for name, component in spec["components"].items():
        if "executorLabel" in component:
            assert "revision" in component["inputDefinitions"]["parameters"], name


def test_a_file_is_written(tmp_path: Path, text: str) -> None:
    compile_to("training", tmp_path / "below" / "x.yaml")
    assert (tmp_path / "below" / "x.yaml").read_text() == text


def test_an_unknown_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"'trainin'.*training"):
        compile_to("trainin", tmp_path / "x.yaml")
    assert not list(tmp_path.iterdir())
