"""Recipes and their overrides."""

from __future__ import annotations

import pytest

from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.registry import RANKERS, build
from hemix.models.training.recipes import RECIPES, Recipe, recipe_of


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_json(name: str) -> None:
    recipe = RECIPES[name]()
    again = Recipe.parse(recipe.model_dump(mode="json"))
    assert again == recipe
    assert type(again.model) is RANKERS[recipe.ranker].config_type


@pytest.mark.parametrize(
    "name", ["compact", "tiny", *(name for name in RANKERS if name in RECIPES)]
)
def test_a_recipes_ranker_is_built_and_runs(name: str) -> None:
    recipe = RECIPES[name]()
    logits = build(recipe.ranker, toy_spec(), recipe.model).eval()(toy_batch(rows=3))
    assert {task: logit.shape for task, logit in logits.items()} == {
        "click": (3,),
        "long_view": (3,),
    }


def test_overrides_replace_fields_and_are_typed() -> None:
    recipe = recipe_of(
        "compact",
        {
            "model.token_width": "16",
            "model.tower": "[8, 4]",
            "model.embedding.dropout": "0.5",
            "training.learning_rate": "1e-2",
            "training.refit": "true",
            "training.task_weights.click": "2",
        },
    )
    assert isinstance(recipe.model, HeMixConfig)
    assert recipe.model.token_width == 16
    assert recipe.model.tower == (8, 4)
    assert recipe.model.embedding.dropout == 0.5
    assert recipe.training.learning_rate == 0.01
    assert recipe.training.refit is True
    assert recipe.training.task_weights == {"click": 2.0}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("model.token_widht", "16", "token_widht"),
        ("training", "1", "training"),
        ("nonsense.depth", "1", "nonsense.depth"),
        ("ranker", "din", "ranker"),
        ("training.batch_size", "many", "training.batch_size"),
        ("training.batch_size", "0", "training.batch_size"),
        ("model.token_width", "33", "token_width"),
        ("model.norm", "batch", "model.norm"),
        ("model.embedding.sparse", "true", "embedding_optimizer"),
        ("training.epochs", "[", "training.epochs"),
    ],
)
def test_a_wrong_override_is_named(key: str, value: str, named: str) -> None:
    with pytest.raises(DefinitionError, match=named):
        recipe_of("compact", {key: value})


def test_an_unknown_recipe_and_ranker_are_named() -> None:
    with pytest.raises(DefinitionError, match=r"'hemixx'.*compact"):
        recipe_of("hemixx")
    with pytest.raises(DefinitionError, match="'mlp'"):
        Recipe.parse({"name": "x", "ranker": "mlp"})
