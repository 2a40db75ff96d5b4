"""One request of many candidates: its user side computed once, against a full row a candidate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.inputs.made_up import made_up_batch, made_up_spec
from hemix.models.data.batch import Batch
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.progress import say

HISTORY, CANDIDATES = 1000, 500


def request_of(
    history: int, candidates: int, *, recipe: str = "compact"
) -> tuple[Ranker, Batch, Batch]:
    """A ranker with new weights, a request of a full history, and its candidates."""
    spec = made_up_spec(history)
    chosen = recipe_of(recipe)
    torch.manual_seed(0)
    ranker = build(chosen.ranker, spec, chosen.model).eval()
    request = made_up_batch(spec, 1, 0, full=True)
    items = made_up_batch(spec, candidates, 1)
    own = {f.name for f in spec.categorical if f.side == "item"}
    own |= {name for f in spec.numeric if f.side == "item" for name in (f.name, f.bucket)}
    items = Batch(
        size=candidates,
        ids={k: v for k, v in items.ids.items() if k in own},
        numbers={k: v for k, v in items.numbers.items() if k in own},
        lists={},
        labels={},
    )
    return ranker, request, items


def once(ranker: Ranker, request: Batch, items: Batch) -> dict[str, Tensor]:
    """Logits of all candidates, the request's side computed once."""
    return ranker.score_candidates(ranker.encode_request(request), items)


def rows(ranker: Ranker, request: Batch, items: Batch) -> dict[str, Tensor]:
    """The same logits of full rows: the request's repeated for every candidate."""
    index = torch.zeros(items.size, dtype=torch.int64)
    return ranker(request.take(index).beside(items))


@torch.inference_mode()
def request_side(seconds: float, *, recipe: str = "compact") -> dict[str, Any]:
    """Median milliseconds of both ways, taken in turns for ``seconds``, and how often one is faster.

    Both begin with what a request brings: one row of the user, and the candidates.
    """
    ranker, request, items = request_of(HISTORY, CANDIDATES, recipe=recipe)
    ways: dict[str, Callable[[], object]] = {
        "once_ms": lambda: once(ranker, request, items),
        "rows_ms": lambda: rows(ranker, request, items),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took["rows_ms"]) < 4:
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            took[name].append((time.perf_counter() - start) * 1000)
    medians = {name: round(float(np.median(times[1:])), 2) for name, times in took.items()}
    ratio = round(medians["rows_ms"] / medians["once_ms"], 1)
    say(
        f"{CANDIDATES} candidates, history {HISTORY}, {recipe}: {medians['once_ms']} ms with the "
        f"user side once, {medians['rows_ms']} ms as full rows: {ratio} times"
    )
    return {
        "recipe": recipe, "candidates": CANDIDATES, "history": HISTORY, **medians, "ratio": ratio,
    }  # fmt: skip
