"""The table of steps is whole: every component stands in it, under the name that kfp knows it by."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemix.components.steps import BY_NAME, GATES, STEPS, TABLE, Step
from hemix.pipelines.compiler.compiler import component_named

ROOT = Path(__file__).resolve().parents[2]


def test_every_component_of_the_tree_is_in_the_table() -> None:
    there = {
        "hemix." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("components", "pipelines")
        for path in (ROOT / folder).glob("*/component.py")
    }
    assert len(there) > 10
    assert there == {step.component_module for step in TABLE}
    assert len(BY_NAME) == len(TABLE)


@pytest.mark.parametrize("step", TABLE, ids=lambda step: step.name)
def test_a_step_is_the_component_of_its_name_and_a_gate_says_so(step: Step) -> None:
    component = component_named(step.name)
    assert component.component_spec.name == step.name.replace("_", "-")
    outputs = component.component_spec.outputs or {}
    judges = "Output" in outputs and "verdict" in outputs
    if step.training:
        assert judges == bool(step.gate)


def test_gates_are_steps_of_the_training_pipeline() -> None:
    assert tuple(name for name in STEPS if BY_NAME[name].gate) == GATES
    assert len(GATES) == 4
