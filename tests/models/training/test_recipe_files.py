"""Recipes from YAML files and from lines of JSON: the same recipes, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemix.errors import DefinitionError
from hemix.models.training.recipe_files import as_yaml
from hemix.models.training.recipes import RECIPES, portable, recipe_of


@pytest.mark.parametrize("name", RECIPES)
def test_a_file_and_a_line_hold_the_whole_recipe(name: str, tmp_path: Path) -> None:
    recipe = recipe_of(name, {"training.seed": "7"})
    file = tmp_path / "mine.yaml"
    file.write_text(as_yaml(recipe.model_dump(mode="json"), ["found by a search"]))
    assert recipe_of(str(file)) == recipe
    assert recipe_of(portable(str(file))) == recipe
    assert "\n" not in portable(str(file))
    assert portable(name) == name


def test_what_a_file_leaves_out_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "short.yml"
    file.write_text("ranker: dcnv2\ntraining: {batch_size: 64}\n")
    recipe = recipe_of(str(file), {"training.epochs": "2"})
    assert (recipe.name, recipe.ranker) == ("short", "dcnv2")
    assert (recipe.training.batch_size, recipe.training.epochs) == (64, 2)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ranker: mlp", "'mlp'"),
        ("model: {}", "ranker: it is missing"),
        ("ranker: hemix\nmodel: {token_width: 33}", "model.*token_width 33"),
        ("ranker: hemix\nmodel: {depth: 3}", "model.depth"),
        ("ranker: hemix\ntraining: {epochs: 0}", "training.epochs"),
        ("ranker: hemix\ntraining: 3", "training: it holds no fields"),
        ("ranker: hemix\nextra: 3", "extra: no such key"),
        ("- hemix", "it holds a list; a recipe is a mapping"),
        ("ranker: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(text: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(DefinitionError, match=named) as error:
        recipe_of(str(file))
    assert str(file) in str(error.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"nowhere\.yaml: cannot read"):
        recipe_of("nowhere.yaml")
