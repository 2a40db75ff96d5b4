"""The final order by the weights of the user's variant, as the ranker applies them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from hemix.serving.experiments.assignment import Assigned
from hemix.serving.messages.answer import ORDER_UNAVAILABLE
from hemix.serving.ranking.service import _order

SCORES = {"click": np.array([0.1], np.float32), "long_view": np.array([0.2], np.float32)}


def prepared(order: dict[str, float] | None) -> SimpleNamespace:
    return SimpleNamespace(
        assigned=(
            Assigned(layer="model", variant="champion", epoch="e"),
            Assigned(layer="ranking", variant="watched", epoch="f", order=order),
        ),
        flags=("unknown_user",),
    )


def test_the_layers_weights_are_taken() -> None:
    order = {"click": 1.0, "long_view": 0.5}
    assert _order(prepared(order), SCORES) == (order, ("unknown_user",))  # type: ignore[arg-type]
    assert _order(prepared(None), SCORES) == (None, ("unknown_user",))  # type: ignore[arg-type]


def test_a_version_without_the_task_ranks_by_its_first_and_says_so() -> None:
    found = _order(prepared({"buy": 1.0}), SCORES)  # type: ignore[arg-type]
    assert found == (None, ("unknown_user", ORDER_UNAVAILABLE))
