"""Default shapes are comparable: as many dense parameters as HeMix where KuaiRand is ranked."""

from __future__ import annotations

import pytest

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
from models.recipes import recipe_of
from models.registry import build

SHARED = ("item_id", "author_id", "tag")


def kuairand_counts() -> FeatureSpec:
    """As many fields a side and columns an event as KuaiRand's definition has, in tiny tables."""
    sides: dict[Side, int] = {"user": 13, "context": 3, "item": 4}
    names: dict[str, Side] = {f"{s}{i}": s for s, count in sides.items() for i in range(count)}
    names |= dict.fromkeys(SHARED, "item")
    numbers: dict[Side, int] = {"user": 20, "item": 32}
    numeric = [(f"{side}_number{i}", side) for side, n in numbers.items() for i in range(n)]
    columns = (*SHARED, "action", "gap")
    return FeatureSpec(
        tasks=(TaskSpec(name="click", column="click"), TaskSpec(name="view", column="view")),
        vocabularies=tuple(Vocabulary(name=n, size=4) for n in (*names, "action", "gap")),
        categorical=tuple(
            CategoricalFeature(name=n, side=side, vocabulary=n) for n, side in names.items()
        ),
        numeric=tuple(
            NumericFeature(name=n, side=side, bucket=f"{n}_bucket", buckets=3)
            for n, side in numeric
        ),
        sequences=tuple(
            SequenceFeature(
                name=name,
                max_length=length,
                columns=tuple(
                    SequenceColumn(role=c, column=f"{name}_{c}", vocabulary=c) for c in columns
                ),
            )
            for name, length in (("global", 50), ("realtime", 20))
        ),
    )


def dense(recipe: str, **overrides: str) -> int:
    chosen = recipe_of(recipe, {k.replace("__", "."): v for k, v in overrides.items()})
    return build(chosen.ranker, kuairand_counts(), chosen.model).parameter_counts()["dense"]


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("dlrm", {}),
        ("dlrm", {"model__interaction": "concat", "model__top": "[576, 256]"}),
        ("autoint", {}),
        ("wukong", {}),
        ("hiformer", {}),
        ("rankmixer", {}),
        ("tokenmixer_large", {}),
    ],
)
def test_dense_parameters_are_those_of_hemix_within_a_tenth(
    recipe: str, overrides: dict[str, str]
) -> None:
    reference = dense("compact")
    assert abs(dense(recipe, **overrides) / reference - 1) < 0.1
