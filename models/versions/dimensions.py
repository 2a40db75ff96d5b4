"""The widths that a trained version's tables need, and its recipe with them."""

from __future__ import annotations

import torch

from hemix.models.embedding.dimensions import Chosen, chosen_widths
from hemix.models.rankers.base import Ranker
from hemix.models.training.recipes import Recipe
from hemix.models.versions.version import Manifest
from hemix.spec import FeatureSpec


def of_version(
    manifest: Manifest, ranker: Ranker, ratio: float
) -> tuple[list[Chosen], Recipe, str]:
    """The widths at ``ratio``, the recipe with them, and what could not be known.

    Rows that training never touched still point where the recipe's seed put them; of a version that
    began with another's weights that is not known, and all rows count.
    """
    recipe = Recipe.parse(manifest.config)
    new = manifest.warm_start is None
    chosen = of_trained(recipe, manifest.spec, ranker, ratio, new=new)
    note = "It began with another version's weights, so rows never touched are counted too."
    own = recipe.model.embedding.model_copy(update={"widths": narrow(recipe, chosen)})
    model = recipe.model.model_copy(update={"embedding": own})
    name = f"{recipe.name}_{round(100 * ratio)}"
    changed = recipe.model_copy(update={"name": name, "model": model})
    return chosen, changed, "" if new else note


def of_trained(
    recipe: Recipe, spec: FeatureSpec, ranker: Ranker, ratio: float, *, new: bool = True
) -> list[Chosen]:
    """The widths at ``ratio`` of the tables of ``ranker``, trained by ``recipe``.

    Args:
        recipe: of the training.
        spec: its columns.
        ranker: trained.
        ratio: share of a table's variance to keep, above 0 and at most 1.
        new: it began with the weights of the recipe's seed, so untouched rows can be told.
    """
    tables = {n: t.get_parameter("weight").detach() for n, t in ranker.embedding.tables.items()}
    first = None
    if new:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            begun = recipe.build(spec).embedding.tables
        first = {n: t.get_parameter("weight").detach() for n, t in begun.items()}
    return chosen_widths(tables, first, ratio)


def narrow(recipe: Recipe, chosen: list[Chosen]) -> dict[str, int]:
    """``model.embedding.widths``: the tables of ``chosen`` that need less than ``recipe``'s width."""
    return {one.name: one.chosen for one in chosen if one.chosen < recipe.model.embedding.width}
