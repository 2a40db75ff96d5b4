"""Rankers are compared at HeMix's size: as many dense parameters where a public log is ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from benchmarks.accuracy.shapes import COMPARED, shape_of
from hemix.models.rankers.registry import RANKERS, build
from hemix.models.training.recipes import recipe_of
from hemix.spec import (
    CategoricalFeature,
    FeatureSpec,
    NumericFeature,
    SequenceColumn,
    SequenceFeature,
    Side,
    TaskSpec,
    Vocabulary,
)

GAPS = 26
"""Ids of the time gap on both logs: HSTU learns a bias for each."""


def counts(
    *,
    tasks: tuple[str, ...],
    categorical: Mapping[Side, int],
    numeric: Mapping[Side, int],
    shared: tuple[str, ...],
    history: int,
) -> FeatureSpec:
    """So many fields a side beside the ``shared`` ones of candidate and event, in tiny tables."""
    names: dict[str, Side] = {
        f"{s}{i}": s for s, count in categorical.items() for i in range(count)
    }
    names |= dict.fromkeys(shared, "item")
    numbers = [(f"{side}_number{i}", side) for side, n in numeric.items() for i in range(n)]
    columns = (*shared, "action", "gap")
    sizes = {**dict.fromkeys((*names, "action"), 4), "gap": GAPS}
    return FeatureSpec(
        tasks=tuple(TaskSpec(name=task, column=task) for task in tasks),
        vocabularies=tuple(Vocabulary(name=n, size=size) for n, size in sizes.items()),
        categorical=tuple(
            CategoricalFeature(name=n, side=side, vocabulary=n) for n, side in names.items()
        ),
        numeric=tuple(
            NumericFeature(name=n, side=side, bucket=f"{n}_bucket", buckets=3)
            for n, side in numbers
        ),
        sequences=tuple(
            SequenceFeature(
                name=name,
                max_length=length,
                columns=tuple(
                    SequenceColumn(role=c, column=f"{name}_{c}", vocabulary=c) for c in columns
                ),
            )
            for name, length in (("global", history), ("realtime", 20))
        ),
    )


def kuairand_counts() -> FeatureSpec:
    """As many fields a side and columns an event as KuaiRand's definition has."""
    return counts(
        tasks=("click", "long_view"),
        categorical={"user": 13, "context": 3, "item": 4},
        numeric={"user": 20, "item": 32},
        shared=("item_id", "author_id", "tag"),
        history=50,
    )


def ebnerd_counts() -> FeatureSpec:
    """As many as EB-NeRD's: the user, the article and whether it is paid for, eight of context;
    the article's length and 15 counters of it, nine of the user.
    """
    return counts(
        tasks=("click",),
        categorical={"user": 1, "context": 8},
        numeric={"user": 9, "item": 16},
        shared=("item_id", "premium"),
        history=100,
    )


LOGS: dict[str, Callable[[], FeatureSpec]] = {
    "kuairand": kuairand_counts,
    "ebnerd": ebnerd_counts,
}


def dense(log: str, recipe: str, overrides: Mapping[str, str] | None = None) -> int:
    """Dense parameters of a recipe's ranker."""
    chosen = recipe_of(recipe, overrides or {})
    return build(chosen.ranker, LOGS[log](), chosen.model).parameter_counts()["dense"]


@pytest.mark.parametrize(("log", "parameters"), [("kuairand", 566_138), ("ebnerd", 222_889)])
def test_hemix_has_the_size_that_it_had_on_the_log_itself(log: str, parameters: int) -> None:
    assert dense(log, "compact") == parameters


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        *((recipe, shape_of("kuairand", recipe)) for recipe in COMPARED),
        ("dlrm", {"model.interaction": "concat", "model.top": "[576, 256]"}),
    ],
)
def test_dense_parameters_are_those_of_hemix_within_a_tenth(
    recipe: str, overrides: dict[str, str]
) -> None:
    reference = dense("kuairand", "compact")
    assert abs(dense("kuairand", recipe, overrides) / reference - 1) < 0.1


def test_every_ranker_of_the_comparison_is_in_the_registry() -> None:
    assert {"hemix", "fm", *COMPARED} == set(RANKERS)
