"""The space of a recipe: what its configurations declare, as a file changes it, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hemix.errors import DefinitionError
from hemix.models.rankers.registry import find
from hemix.models.search_space import Choice, Domain, Range, Space, Value, parse_space, prefixed
from hemix.models.training.recipe_files import assign
from hemix.models.training.recipes import Recipe, TrainingConfig
from hemix.texts.documents import read

if TYPE_CHECKING:
    from optuna import Trial

DECIDED = (
    "training.seed",
    "training.refit",
    "training.evaluations",
    "training.patience",
    "training.processes",
    "training.nodes",
    "training.warm_start",
    "training.objective.jrc_without_lists",
)
"""Fields of a training that the search itself sets, or that change nothing in what is learnt."""


TERM_WEIGHT = Range(low=0.01, high=3.0, log=True)
"""Tried for each term that the recipe's objective has, log loss left out."""


def default_space(recipe: Recipe) -> dict[str, Domain]:
    """What the recipe's ranker and its training declare; the recipe's own values are always in it.

    A field that is searched by its logarithm and is 0 in the recipe has no place in such a range: it
    stays 0, and a space of one's own may name it.
    """
    declared = prefixed("training", TrainingConfig.search)
    declared |= prefixed("model", find(recipe.ranker).config_type.search)
    # Beside log loss of weight 1 a term's own weight says how much it counts.
    terms = [name for name in recipe.training.objective.active() if name != "bce"]
    declared |= {f"training.objective.{name}.weight": TERM_WEIGHT for name in terms}
    space = {field: _with(domain, value_of(recipe, field)) for field, domain in declared.items()}
    return {
        field: domain for field, domain in space.items() if domain.holds(value_of(recipe, field))
    }


def _with(domain: Domain, value: Any) -> Domain:
    if domain.holds(value):
        return domain
    if isinstance(domain, Choice):
        more = (*domain.choices, value)
        numbers = [one for one in more if isinstance(one, (int, float))]
        in_order = len(numbers) == len(more) and not any(isinstance(n, bool) for n in numbers)
        return Choice(choices=tuple(sorted(numbers)) if in_order else more)
    if isinstance(value, (int, float)) and (value > 0 or not domain.log):
        ends = {"low": min(domain.low, value), "high": max(domain.high, value)}
        return domain.model_copy(update=ends)
    return domain


def read_space(file: Path | None, recipe: Recipe) -> dict[str, Domain]:
    """The default space of ``recipe`` as ``file`` changes it.

    Raises:
        DefinitionError: the file cannot be read, a field is not one of the recipe's, or a value does
            not fit it; the message names file and field.
    """
    space = default_space(recipe)
    if file is not None:
        hint = "Write FIELD: {low: ..., high: ...}, {choices: [...]} or null (docs/tuning.md)."
        value = read(file, "a space", may_be_empty=False, hint=hint).require(hint=hint).value
        for field, domain in parse_space(value, str(file)).items():
            check(recipe, {field: domain} if domain else {}, str(file))
            if domain is not None:
                space[field] = domain
            elif space.pop(field, None) is None:
                raise DefinitionError(
                    f"{file}: {field}: it is not searched anyway.",
                    hint=f"Searched: {', '.join(space)}.",
                )
    if not space:
        raise DefinitionError(f"{file}: nothing is left to search.")
    return space


def check(recipe: Recipe, space: Space, where: str) -> None:
    """Put each end of each domain into the recipe, the other fields as they are.

    Raises:
        DefinitionError: no such field, or an end that the field does not take.
    """
    for field, domain in space.items():
        if field in DECIDED:
            raise DefinitionError(
                f"{where}: {field}: the search sets it itself.", hint="Leave it out."
            )
        for value in domain.ends:
            try:
                with_values(recipe, {field: value})
            except DefinitionError as error:
                raise DefinitionError(
                    f"{where}: {field}: {value!r} does not fit. {error.message}", hint=error.hint
                ) from error


def value_of(recipe: Recipe, field: str) -> Any:
    """The value of a dotted field."""
    here: Any = recipe.model_dump(mode="json")
    for part in field.split("."):
        here = here[part]
    return here


def with_values(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """The recipe with dotted fields set.

    Raises:
        DefinitionError: no such field, or values that do not fit (together).
    """
    whole = recipe.model_dump(mode="json")
    for field, value in values.items():
        assign(whole, field, value, f"{recipe.ranker} recipe")
    return Recipe.parse(whole)


def label(value: Value) -> bool | int | float | str | None:
    """How a choice stands in a study: lists as text, all else as it is."""
    return (
        yaml.safe_dump(value, default_flow_style=True).strip() if isinstance(value, list) else value
    )


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """The parameters of a trial, by field; those that it has already stay."""
    found: dict[str, Any] = {}
    for field, domain in space.items():
        if isinstance(domain, Choice):
            labels = [label(value) for value in domain.choices]
            found[field] = trial.suggest_categorical(field, labels)
        elif domain.whole:
            low, high, step = int(domain.low), int(domain.high), int(domain.step or 1)
            found[field] = trial.suggest_int(field, low, high, log=domain.log, step=step)
        else:
            low_end, high_end = float(domain.low), float(domain.high)
            found[field] = trial.suggest_float(
                field, low_end, high_end, log=domain.log, step=domain.step
            )
    return found


def values_of(space: Space, parameters: Mapping[str, Any]) -> dict[str, Value]:
    """A trial's parameters as values of fields."""
    values: dict[str, Value] = {}
    for field, found in parameters.items():
        domain = space[field]
        if isinstance(domain, Choice):
            same = [
                v for v in domain.choices if label(v) == found and type(label(v)) is type(found)
            ]
            values[field] = same[0]
        else:
            values[field] = found
    return values


def parameters_of(recipe: Recipe, space: Space) -> dict[str, Any] | None:
    """The recipe's own values as a trial's parameters; None when the space does not hold them."""
    own = {field: value_of(recipe, field) for field in space}
    if not all(domain.holds(own[field]) for field, domain in space.items()):
        return None
    return {field: label(value) for field, value in own.items()}
