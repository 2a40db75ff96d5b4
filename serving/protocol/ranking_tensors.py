"""Ranking requests and answers as the named tensors of KServe's V2 protocol (REST and gRPC).

In: ``user_id`` [1] and ``item_ids`` [N] as whole numbers or BYTES, optional ``context_<name>`` [1],
``candidate_<name>`` [N] (NaN, an empty text and the least INT64 stand for a missing value) and
``timestamp_ms`` [1]; the request's id is ``id``. Out: ``user_id`` [1], ``item_ids``,
``ranked_item_ids`` [N], ``score_<task>`` [N] FP32, ``version``, ``variant`` [1], ``flags`` [F],
``unknown_items`` [U].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hemix.errors import RequestError
from hemix.features.schema import MISSING_INT, MISSING_STRING
from hemix.serving.messages.echo import short
from hemix.serving.protocol.v2_tensors import Tensors, objects

if TYPE_CHECKING:
    from hemix.serving.messages.answer import RankingAnswer
    from hemix.serving.protocol.v2_tensors import TensorRequest

CONTEXT = "context_"
CANDIDATE = "candidate_"
SCORE = "score_"


def instance_of(request: TensorRequest) -> dict[str, Any]:
    """The V1 instance that a V2 request says; types and ranges are the contract's to check.

    Raises:
        RequestError: a tensor that is unknown, or that holds more or less than the one value it must.
    """
    instance: dict[str, Any] = {"request_id": request.request_id or None}
    context: dict[str, Any] = {}
    candidates: dict[str, Any] = {}
    for name, values in request.tensors.items():
        if name == "item_ids":
            instance[name] = values.tolist()
        elif name in ("user_id", "timestamp_ms"):
            instance[name] = _one(name, values)
        elif name.startswith(CONTEXT):
            context[name.removeprefix(CONTEXT)] = _one(name, values)
        elif name.startswith(CANDIDATE):
            candidates[name.removeprefix(CANDIDATE)] = _with_missing(values)
        else:
            known = "user_id, item_ids, timestamp_ms, context_<name>, candidate_<name>"
            raise RequestError(f"{short(name)}: no such tensor; known: {known}.")
    if context:
        instance["context"] = context
    if candidates:
        instance["candidates"] = candidates
    return instance


def outputs_of(answer: RankingAnswer) -> Tensors:
    """All outputs of an answer."""
    return {
        "user_id": _ids([answer.user_id]),
        "item_ids": _ids(answer.item_ids),
        "ranked_item_ids": _ids(answer.ranked_item_ids),
        **{f"{SCORE}{task}": scores for task, scores in answer.scores.items()},
        "version": objects([answer.version]),
        "variant": objects([answer.variant]),
        "flags": objects(list(answer.flags)),
        "unknown_items": _ids(answer.unknown_items, like=answer.item_ids),
    }


def output_names(tasks: Iterable[str]) -> list[str]:
    """The names of :func:`outputs_of`."""
    before = ["user_id", "item_ids", "ranked_item_ids"]
    after = ["version", "variant", "flags", "unknown_items"]
    return [*before, *(f"{SCORE}{task}" for task in tasks), *after]


def _one(name: str, values: np.ndarray) -> Any:
    if len(values) != 1:
        raise RequestError(f"{short(name)}: {len(values)} values; give exactly one.")
    return values.tolist()[0]


def _with_missing(values: np.ndarray) -> list[Any]:
    """A tensor's values; None for those that stand for a missing one."""
    missing = (MISSING_STRING, MISSING_INT)
    return [None if v != v or v in missing else v for v in values.tolist()]


def _ids(values: Sequence[int | str], like: Sequence[int | str] | None = None) -> np.ndarray:
    if isinstance((like or values)[0], int):
        return np.array(values, dtype=np.int64)
    return objects([str(value) for value in values])
