"""Tables of widths of their own, read as vectors of one width or put side by side as they are.

Paper: Wang et al., "Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction"
(GDCN), CIKM 2023, arXiv 2311.04635, section on field-level dimension optimisation. A vocabulary v
whose table is narrower than the rest, ``[V, d_v]`` with ``d_v < E``:

    aligned   e = t A_v      A_v [d_v, E], one a vocabulary: what rankers need that see vectors
    plain     e = t, with zeros behind it, which a ranker that only puts vectors side by side leaves
              out: its input is then as wide as all d_v together

INFERRED: the paper aligns field by field; here fields and events of one vocabulary share a table, and
so the map. ``A_v`` begins normal with deviation ``1 / sqrt(d_v)``: vectors begin as large as others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.named import Named


class Alignment(nn.Module):
    """Rows of narrow tables as vectors of ``width``; ``plain``: with zeros behind them."""

    def __init__(self, widths: dict[str, int], width: int, *, plain: bool) -> None:
        super().__init__()
        self.width = width
        narrow = {name: one for name, one in widths.items() if one != width and not plain}
        self.maps = Named({name: nn.Linear(one, width, bias=False) for name, one in narrow.items()})
        for name, one in narrow.items():
            nn.init.normal_(self.maps[name].get_parameter("weight"), std=one**-0.5)

    def forward(self, name: str, rows: Tensor) -> Tensor:
        """Rows ``[..., d_v]`` of the vocabulary ``name`` as ``[..., E]``."""
        if rows.shape[-1] == self.width:
            return rows
        if name in self.maps:
            aligned: Tensor = self.maps[name](rows)
            return aligned
        return fn.pad(rows, (0, self.width - rows.shape[-1]))


def live_columns(widths: list[int], width: int) -> Tensor:
    """Places of what is no padding among vectors of ``width`` side by side, of these own widths.

    Example:
        >>> live_columns([2, 3], 3).tolist()
        [0, 1, 3, 4, 5]
    """
    return torch.cat([torch.arange(one) + at * width for at, one in enumerate(widths)])
