"""HeMix as PyTorch users write it first: padded batches, keys and values of every event.

The yardstick of ``benchmarks.train_speed``: the same weights as :class:`hemix.models.rankers.hemix.model.HeMix`, the
same logits, none of its engine. One ``nn.Embedding`` look-up a column, sequences padded to the
longest row of the batch, ``K`` and ``V [B, L, D]`` and scores ``[B, A, Q, L]`` kept for the
backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.layers.attention.mixed import MixedHeteroAttention
from hemix.models.layers.dense import split_axis
from hemix.models.rankers.hemix.model import HeMix


class PlainHeMix(HeMix):
    """The faithful default with ``item_projection=merged`` or ``separate``; no ablations."""

    def tokens(self, batch: Batch) -> Tensor:
        """(b-e) The mixer's input ``[B, N, D]``."""
        fields = self._request_fields(batch)
        events = [self.embedding.sequence(batch, sequence) for sequence in self.sequences]
        t_ns = self._ns(fields, batch)
        out = []
        for module, (e_BLS, mask), group in zip(
            self.attention, events, self._groups(t_ns), strict=True
        ):
            assert isinstance(module, MixedHeteroAttention)
            x_BLS = e_BLS if self.project is None else self.project(e_BLS)
            out.append(padded_attention(module, x_BLS, mask, group))
        return self._joined(out, t_ns)


def padded_attention(
    module: MixedHeteroAttention, e_BLS: Tensor, mask: Tensor, t_BND: Tensor
) -> Tensor:
    """Events ``[B, L, S]``, the mask ``[B, L]`` and NS tokens ``[B, n, D]`` -> ``[B, Q, D]``."""
    keys, values = e_BLS @ module.key, e_BLS @ module.value
    if module.null is not None:
        null = module.null[:, None, None].expand(2, len(e_BLS), 1, -1)
        keys, values = torch.cat([null[0], keys], 1), torch.cat([null[1], values], 1)
        mask = fn.pad(mask, (1, 0), value=True)
    queries = torch.cat([t_BND, module.fixed.expand(len(t_BND), -1, -1)], 1)
    q_BQD = torch.einsum("bnd,nde->bne", queries, module.query)

    def heads(x_BLD: Tensor) -> Tensor:
        return split_axis(x_BLD, -1, (module.heads, -1)).transpose(1, 2)

    score = heads(q_BQD) @ heads(keys).transpose(-1, -2)
    score = score / (q_BQD.shape[-1] // module.heads) ** 0.5
    allowed = mask[:, None, None]
    score = score.masked_fill(~allowed, torch.finfo(score.dtype).min)
    read = (score.softmax(-1) * allowed) @ heads(values)
    return read.transpose(1, 2).flatten(2) @ module.out
