"""The widths that a trained version's tables need, and its recipe with them."""

from __future__ import annotations

import torch

from hemix.models.embedding.dimensions import Chosen, chosen_widths
from hemix.models.rankers.base import Ranker
from hemix.models.training.recipes import Recipe
from hemix.models.versions.version import Manifest


def of_version(
    manifest: Manifest, ranker: Ranker, ratio: float
) -> tuple[list[Chosen], Recipe, str]:
    """The widths at ``ratio``, the recipe with them, and what could not be known.

    Rows that training never touched still point where the recipe's seed put them; of a version that
    began with another's weights that is not known, and all rows count.
    """
    recipe = Recipe.parse(manifest.config)
    embedding = ranker.embedding
    tables = {name: t.get_parameter("weight").detach() for name, t in embedding.tables.items()}
    first, note = None, ""
    if manifest.warm_start is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            new = recipe.build(manifest.spec).embedding.tables
        first = {name: t.get_parameter("weight").detach() for name, t in new.items()}
    else:
        note = "It began with another version's weights, so rows never touched are counted too."
    chosen = chosen_widths(tables, first, ratio)
    widths = {one.name: one.chosen for one in chosen if one.chosen < recipe.model.embedding.width}
    own = recipe.model.embedding.model_copy(update={"widths": widths})
    model = recipe.model.model_copy(update={"embedding": own})
    name = f"{recipe.name}_{round(100 * ratio)}"
    return chosen, recipe.model_copy(update={"name": name, "model": model}), note
