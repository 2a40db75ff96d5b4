"""``hemix keys``: every key that a user may set, from the classes that read it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import Field
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.models.training.recipes import recipe_of
from hemix.texts.fields import keys
from hemix.texts.frozen import Frozen


class Inner(Frozen):
    """Holds one number."""

    size: int = Field(3, description="How\n    large.")


class Wider(Inner):
    """A class below the declared one."""

    more: float = 0.5


class Outer(Frozen):
    """Holds others in every way."""

    one: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = Field(description="All of them.")
    named: dict[str, Inner] = Field(default_factory=dict)
    kind: str = "a"


def test_keys_reach_what_is_held_in_any_way() -> None:
    found = {key.name: key for key in keys(Outer)}
    assert list(found) == [
        *("one.size", "maybe", "maybe.size", "many", "many[].size", "named", "named.NAME.size"),
        "kind",
    ]
    assert found["one.size"].default == "3"
    assert found["one.size"].meaning == "How large."
    assert (found["many"].type, found["many"].default) == ("tuple[Inner, ...]", "required")
    assert found["maybe"].type == "Inner or None"
    assert found["kind"].default == "'a'"


def test_values_stand_for_defaults_and_bring_their_own_class() -> None:
    chosen = Outer(one=Wider(size=7), many=())
    found = {key.name: key.default for key in keys(Outer, chosen)}
    assert (found["one.size"], found["one.more"], found["many"]) == ("7", "0.5", "()")


def listed(*arguments: str) -> list[str]:
    told = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert told.exit_code == 0
    return [line.split()[0] for line in told.output.splitlines() if re.match(r"\S+  ", line)]


@pytest.mark.parametrize("recipe", ["compact", "dcnv2"])
def test_every_key_of_a_recipe_can_be_set(recipe: str) -> None:
    chosen = recipe_of(recipe)
    names = [name for name in listed("--recipe", recipe, "model") if "[]" not in name]
    assert len(names) > 10
    for name in names:
        if ".NAME" not in name:
            value = chosen.model_dump(mode="json")
            for part in name.split("."):
                value = value[part]


def test_a_prefix_picks_keys_of_both_and_an_unknown_one_is_told() -> None:
    assert {"split.train", "split.train.start"} <= set(listed("split"))
    assert listed("training.learning_rate")[0] == "training.learning_rate"
    tops = {name.partition(".")[0].partition("[")[0] for name in listed()}
    assert tops == {*DatasetDefinition.model_fields, "ranker", "model", "training"}
    with pytest.raises(DefinitionError, match=r"with 'trainning'; did you mean training\?"):
        listed("trainning")


def test_a_recipe_that_is_printed_is_the_same_when_it_is_read(tmp_path: Path) -> None:
    recipe = "unirank_like"
    told = CliRunner().invoke(app, ["recipes", recipe], catch_exceptions=False).output
    (tmp_path / "mine.yaml").write_text(told)
    assert recipe_of(str(tmp_path / "mine.yaml")) == recipe_of(recipe)
    fields = [line for line in told.splitlines() if not line.lstrip().startswith("#")]
    assert "  # Share of all steps" in told
    assert len(fields) > 60
