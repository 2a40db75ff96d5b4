"""Keys and values folded away: queries carried to the events' space, and what they read back.

Axes: ``B`` rows, ``Q`` queries, ``D`` token width, ``A`` heads, ``a = D / A``, ``S`` event width.

    q_h . (e K_h)              = (q_h K_h') . e                  keys need not be stored
    sum_l w_l (e_l V_h)        = (sum_l w_l e_l) V_h             nor values
    (e K_h + c_h) . q_h  and a null item's  k_h . q_h: a constant moves from all events to the null
    item, whose key becomes k - c, and whose value becomes v - d when values are e V_h + d

Two products in a row may be one: ``(x W) K' = x (W K')`` costs ``D A S`` per row instead of
``D D + D S``, and the product of the weights once per batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hemix.models.layers.dense import split_axis


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Keys and values of an event as affine maps of it: ``key, value [S', D]``.

    Row ``S`` of each, when there is one (``S' = S + 1``), is the null item's, less the constant
    that the map adds to every event; ``shift [D]`` is that constant of the values.
    """

    key: Tensor
    value: Tensor
    shift: Tensor | None


def maps(
    key: Tensor, value: Tensor, null: Tensor | None, project: tuple[Tensor, Tensor] | None
) -> Maps:
    """``key, value [S or D, D]``, ``null [2, D]``, ``project``: ``[S, D]`` and ``[D]`` before both."""
    if project is None and null is None:
        return Maps(key=key, value=value, shift=None)
    key_null, value_null = (None, value.new_zeros(value.shape[1])) if null is None else null
    shift = None
    if project is not None:
        weight, bias = project
        key_null = None if key_null is None else key_null - bias @ key
        shift = bias @ value
        key, value, value_null = weight @ key, weight @ value, value_null - shift
    key = key if key_null is None else torch.cat([key, key_null[None]])
    return Maps(key=key, value=torch.cat([value, value_null[None]]), shift=shift)


def merges(rows: int, width: int, heads: int, event_width: int) -> bool:
    """Whether one product with ``[D, A S]`` beats one with ``[D, D]`` and one with ``A [a, S]``."""
    both = width * (width + event_width)
    one = width * heads * event_width
    return rows * (both - one) > width * width * event_width


def fold(x_BQD: Tensor, weight: Tensor, key: Tensor, heads: int) -> Tensor:
    """Queries ``x_i WQ_i`` (``weight [Q, D, D]``) in the events' space: ``[B, Q, A, S]``, scaled."""
    rows, _, width = x_BQD.shape
    key_SAa = split_axis(key, 1, (heads, -1)) * (width // heads) ** -0.5
    if merges(rows, width, heads, len(key)):
        joint = torch.einsum("qdha,sha->qdhs", split_axis(weight, 2, (heads, -1)), key_SAa)
        folded = torch.einsum("bqd,qdk->bqk", x_BQD, joint.flatten(2))
        return split_axis(folded, -1, (heads, -1))
    q_BQD = torch.einsum("bqd,qde->bqe", x_BQD, weight)
    return torch.einsum("bqha,sha->bqhs", split_axis(q_BQD, -1, (heads, -1)), key_SAa)


def unfold(read_BQAS: Tensor, value: Tensor, shift: Tensor | None, out: Tensor) -> Tensor:
    """What was read, through ``V`` and ``WO``: ``[B, Q, A, S] -> [B, Q, D]``."""
    rows, count, heads, _ = read_BQAS.shape
    value_SAa = split_axis(value, 1, (heads, -1))
    if merges(rows * count, value.shape[1], heads, len(value)):
        joint = torch.einsum("sha,hae->hse", value_SAa, split_axis(out, 0, (heads, -1)))
        result = read_BQAS.flatten(2) @ joint.flatten(0, 1)
    else:
        result = torch.einsum("bqhs,sha->bqha", read_BQAS, value_SAa).flatten(2) @ out
    return result if shift is None else result + shift @ out
