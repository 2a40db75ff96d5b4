"""The ranking answer: scores, order, and what was not as it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

UNKNOWN_USER = "unknown_user"
UNKNOWN_ITEMS = "unknown_items"
FEATURES_UNAVAILABLE = "features_unavailable"
DEFAULT = "default_"
"""Begins the flag of a candidate column that the request lacks: ``default_price``."""
PREDICTOR_UNAVAILABLE = "predictor_unavailable"
ORDER_UNAVAILABLE = "order_unavailable"
VERSION_UNAVAILABLE = "version_unavailable"
"""The champion answered: the version of the user's variant is refused, or failed in this request."""
TIME_BEFORE_FEATURES = "time_before_features"
"""The request's time is before that of the features it was answered with: they know its future."""
TIME_AHEAD = "time_ahead"
"""The request's time is more than a day ahead of the endpoint's clock."""
EVENTS_BEHIND = "events_behind"
"""Live events could not be read up to now: the answer may lack the latest."""
EVENTS_MISSING = "events_missing"
"""Live events of after the version's base have left already: publish, so that they are in a base."""


def final_scores(scores: Mapping[str, Floats], order: Mapping[str, float] | None) -> Floats:
    """What candidates are ranked by, [N]: the first task, or the sum of tasks weighted by ``order``.

    Tasks that ``order`` does not name weigh nothing; KeyError when it names one that is not there.
    """
    if order is None:
        return next(iter(scores.values()))
    total = np.zeros_like(next(iter(scores.values())))
    for task, weight in order.items():
        total += np.float32(weight) * scores[task]
    return total


@dataclass(frozen=True, kw_only=True)
class RankingAnswer:
    """What a request gets back.

    ``scores`` maps a task to probabilities, float32 [N], in the order of ``item_ids``.
    ``ranked_item_ids`` are the same items, the highest of :func:`final_scores` first; equal scores
    keep the request's order. ``order`` are the task weights of the user's variant, None for the
    first task alone. ``flags`` name what was served from defaults.
    """

    request_id: str
    user_id: int | str
    version: str
    variant: str
    item_ids: list[int] | list[str]
    scores: dict[str, Floats]
    flags: tuple[str, ...]
    unknown_items: list[int] | list[str]
    order: Mapping[str, float] | None = None
    ranked_item_ids: list[int] | list[str] = field(init=False)

    def __post_init__(self) -> None:
        best_first = np.argsort(-final_scores(self.scores, self.order), kind="stable").tolist()
        ranked = [self.item_ids[at] for at in best_first]
        object.__setattr__(self, "ranked_item_ids", ranked)

    def to_json(self) -> dict[str, Any]:
        """The prediction of a V1 answer."""
        return {
            "request_id": self.request_id,
            "user_id": self.user_id,
            "version": self.version,
            "variant": self.variant,
            "item_ids": self.item_ids,
            "scores": {task: scores.tolist() for task, scores in self.scores.items()},
            "ranked_item_ids": self.ranked_item_ids,
            "flags": list(self.flags),
            "unknown_items": self.unknown_items,
        }


def bytes_of_ids(item_ids: Sequence[int] | Sequence[str]) -> int:
    """About the memory of an answer's ids, ranking and scores, by its first id."""
    first = item_ids[0] if item_ids else 0
    return len(item_ids) * (64 + (len(first) + 24 if isinstance(first, str) else 0))


def bytes_of_values(values: Sequence[object]) -> int:
    """About the memory of one column of the candidates, by its longest text."""
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    return len(values) * (32 + longest)
