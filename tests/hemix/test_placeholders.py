"""Texts with templates' marks: they arrive as they are, or are refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.models.training.recipes import recipe_of
from hemix.pipelines.overrides import parse_overrides
from hemix.texts.placeholders import as_parameter, refuse_placeholders, safe_value
from tests.features.definitions import plain

MARKS = ("{{$}}", "{{{", "}}", "{{workflow.name}}", "{{inputs.parameters.x}}", "[[ScheduledTime]]",
         "$(HOME)", "$$(HOME)", "100 %", 'a "quoted" \\ one', "två\nrader", "{", "${HOME}")  # fmt: skip
TEXTS = st.lists(st.sampled_from(MARKS) | st.text(max_size=4), max_size=4).map("".join)


@pytest.mark.slow
@settings(deadline=None)
@given(value=st.recursive(TEXTS, lambda v: st.lists(v) | st.dictionaries(TEXTS, v), max_leaves=5))
def test_json_without_marks_is_the_same_value(value: object) -> None:
    text = as_parameter(value)
    assert json.loads(text) == value
    assert "$(" not in text
    in_texts = text.split('"')[1::2] if '\\"' not in text else []
    assert not any(mark in part for part in in_texts for mark in ("{{", "[["))


@pytest.mark.parametrize("mark", MARKS)
def test_a_definition_keeps_its_texts(mark: str) -> None:
    definition = DatasetDefinition.parse(plain(description=mark))
    text = definition.to_json()
    assert DatasetDefinition.parse(text) == definition
    assert not any(known in text for known in ("{{", "$(", "[[S"))


def test_overrides_keep_their_texts() -> None:
    made = parse_overrides(["training.warm_start=/models/{{$}}/$(X)", "training.epochs=3"]).recipe
    assert made["training.epochs"] == "3"
    assert "{{" not in made["training.warm_start"]
    assert "$(" not in made["training.warm_start"]
    assert recipe_of("tiny", made).training.warm_start == "/models/{{$}}/$(X)"


def test_a_value_without_marks_is_left_as_it_is() -> None:
    assert safe_value("{click: 2.0}", "--set x") == "{click: 2.0}"


@pytest.mark.parametrize("text", ["runs/{{$}}", "s3://b/$(POD)", "a\0b", "a\x1bb"])
def test_places_that_would_not_arrive_are_refused(text: str) -> None:
    refuse_placeholders({"registry": "runs/here", "policy": '{"a":{"b":[[1]]}}'})
    with pytest.raises(DefinitionError, match="registry: "):
        refuse_placeholders({"registry": text})
    with pytest.raises(DefinitionError, match="overrides: "):
        refuse_placeholders({"overrides": {"k": [text]}})
