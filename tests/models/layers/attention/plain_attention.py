"""Mixed Hetero Attention as the formula stands: padded events, keys and values materialised."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as fn

from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.mixed import MixedHeteroAttention


def padded(values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """``[T, S]`` -> ``[B, L, S]`` and the mask ``[B, L]``."""
    rows = [values[a:b] for a, b in pairwise(offsets.tolist())]
    longest = max(len(row) for row in rows)
    full = torch.stack([fn.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
    return full, torch.arange(longest) < offsets.diff()[:, None]


def plain_attention(module: MixedHeteroAttention, events: Events, t_BND: Tensor) -> Tensor:
    """``[B, Q, D]``; events lie row after row."""
    e_BLS, mask = padded(events.values, events.offsets)
    if events.project is not None:
        e_BLS = events.project(e_BLS)
    keys, values = e_BLS @ module.key, e_BLS @ module.value
    if module.null is not None:
        most = module.places or 1
        null = module.null[:, None, None].expand(2, len(e_BLS), most, -1)
        keys, values = torch.cat([null[0], keys], 1), torch.cat([null[1], values], 1)
        empty = mask.new_ones(len(mask), 1)
        if module.places is not None:
            empty = torch.arange(most) < most - events.offsets.diff()[:, None]
        mask = torch.cat([empty, mask], 1)
    fixed = module.static_queries(events).expand(len(e_BLS), -1, -1)
    queries = torch.cat([t_BND, fixed], 1) if module.dynamic else fixed
    own = module.query.expand(queries.shape[1], -1, -1)
    q = torch.stack([queries[:, i] @ own[i] for i in range(len(own))], 1)

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (module.heads, -1)).transpose(1, 2)

    score = heads(q) @ heads(keys).transpose(-1, -2) / (q.shape[-1] // module.heads) ** 0.5
    score = score.masked_fill(~mask[:, None, None], torch.finfo(score.dtype).min)
    read = (score.softmax(-1) * mask[:, None, None]) @ heads(values)
    return read.transpose(1, 2).flatten(2) @ module.out
