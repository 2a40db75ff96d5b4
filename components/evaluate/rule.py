"""The rule that a model has to beat inside a user: smoothed rates of the item and of the context.

One number each, no user, no training: the positive rate of the row's value of a field over the training
window, as log odds, added up over a few fields. It orders a user's candidates without knowing the user,
so its scores are of one state by nature. A model that does not order a user's rows better knows nothing
of the user that is of use.

Which fields: every categorical field of the item, the request and the candidate is tried, beginning
with none; the one that raises GAUC on the validation split most is added, up to :data:`MOST_FIELDS`,
while one raises it. Rates are fitted on the training split for that choice (AUC in place of GAUC where
no user has both labels there), and once more on training and validation together for the scores, as
those of popularity and boosting are. Fields with a ``serve_as`` are alike for all candidates that are
served and stay out. A value that training did not see has the rate of its hash bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemix.components.evaluate.popularity import SMOOTHING
from hemix.components.evaluate.tables import read_split
from hemix.models.metrics import pointwise as metrics
from hemix.progress import say
from hemix.spec import FeatureSpec

MOST_FIELDS = 3
EPSILON = 1e-6
Odds = NDArray[np.float64]
Ids = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Probabilities ``[B]`` of the test rows, and the transformed fields that they are made of."""

    scores: NDArray[np.float32]
    fields: tuple[str, ...]


def rule_fields(spec: FeatureSpec, served_as: Mapping[str, object]) -> tuple[str, ...]:
    """The transformed categorical columns that are tried, the item's first."""
    fixed = {f"{name}_index" for name in served_as}
    fields = [c for c in spec.categorical if c.side != "user" and c.name not in fixed]
    return tuple(c.name for c in sorted(fields, key=lambda c: c.side != "item"))


def rule_scores(
    *, transformed: Path, spec: FeatureSpec, served_as: Mapping[str, object]
) -> dict[str, Rule]:
    """Choose and fit the rule of each task; score the test split.

    Args:
        transformed: the three splits.
        spec: their contract.
        served_as: fields that are served at one value.

    Raises:
        DataError: a split holds no row.
    """
    fields = rule_fields(spec, served_as)
    labels = [task.column for task in spec.tasks]
    columns = {
        split: read_split(transformed, split, ["user_id", *fields, *labels])
        for split in ("train", "validation", "test")
    }
    ids = {
        split: {name: np.asarray(table[name].to_numpy()) for name in fields}
        for split, table in columns.items()
    }
    sizes = {c.name: spec.vocabulary(c.vocabulary).size for c in spec.categorical}
    users = columns["validation"]["user_id"].to_numpy(zero_copy_only=False)
    found: dict[str, Rule] = {}
    for task in spec.tasks:
        train, validation = (
            columns[split][task.column].to_numpy() for split in ("train", "validation")
        )
        tried = {
            name: rate_odds(ids["train"][name], train, ids["validation"][name], sizes[name])
            for name in fields
        }
        chosen = choose(tried, validation, users)
        both = np.concatenate([train, validation])
        total = np.full(len(ids["test"][fields[0]]), _odds(_mean(both)))
        for name in chosen:
            seen = np.concatenate([ids["train"][name], ids["validation"][name]])
            total += rate_odds(seen, both, ids["test"][name], sizes[name])
        scores = (1 / (1 + np.exp(-total))).astype(np.float32)
        found[task.name] = Rule(scores=scores, fields=chosen)
        say(f"evaluate: rule of {task.name}: rates of {_named(chosen)}")
    return found


def told_rules(rules: Mapping[str, Rule]) -> str:
    """What each task's rule is made of, for a person to read."""
    return "; ".join(f"{task}: {_named(rule.fields)}" for task, rule in rules.items())


def _named(columns: Sequence[str]) -> str:
    return ", ".join(name.removesuffix("_index") for name in columns) or "no field"


def rate_odds(ids: Ids, labels: NDArray[np.int8], asked: Ids, size: int) -> Odds:
    """Log odds of each asked id's smoothed rate, less those of the overall rate, ``[asked]``.

    Args:
        ids: int32 ``[rows]`` in ``[0, size)``.
        labels: 0 or 1 ``[rows]``.
        asked: int32 ``[asked]``.
        size: of the vocabulary.
    """
    overall = _mean(labels)
    rows = np.bincount(ids, minlength=size)
    positives = np.bincount(ids, weights=labels, minlength=size)
    rates = (positives + SMOOTHING * overall) / (rows + SMOOTHING)
    return (_odds(rates) - _odds(overall))[asked]


def choose(
    tried: Mapping[str, Odds], labels: NDArray[np.int8], users: NDArray[np.generic]
) -> tuple[str, ...]:
    """The fields whose added log odds order the rows ``[B]`` best within a user, best first.

    One at a time, as long as one more raises the measure; of equally good ones the first.
    """
    codes = np.unique(users, return_inverse=True)[1]

    def measure(scores: Odds) -> float:
        found = metrics.gauc(labels, scores, codes)
        return metrics.auc(labels, scores) if np.isnan(found) else found

    chosen: list[str] = []
    total, best = np.zeros(len(labels)), 0.5
    while len(chosen) < MOST_FIELDS:
        gains = {n: measure(total + odds) for n, odds in tried.items() if n not in chosen}
        name = max(gains, key=lambda n: gains[n], default=None)
        if name is None or not gains[name] > best:
            break
        chosen.append(name)
        total, best = total + tried[name], gains[name]
    return tuple(chosen)


def _mean(labels: NDArray[np.int8]) -> float:
    return float(np.clip(labels.mean(), EPSILON, 1 - EPSILON))


def _odds(rate: Odds | float) -> Odds:
    rate = np.clip(rate, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(rate) - np.log1p(-rate))
