"""TCE and PFFN: each field is merged with its own view of the whole row.

Paper: Wang et al., "ContextNet: A Click-Through Rate Prediction Framework Using Contextual
information to Refine Feature Embedding", arXiv 2107.12025:

    tce:   t_f = relu(z A_f) P_f            A_f [F d, p], P_f [p, d]       out_f = e_f * relu(t_f)
    pffn:  E_0 = tce(E);  E_{l+1} = LN(E_l + E_l W_f)    W_f [d, d], the same in every block

As the benchmark (arXiv 2311.04625) runs them. ContextNet itself has biases, no outer ReLU, and in
its blocks a second layer and weights of each block's own; a shared ``A`` is its light form
(``shared_aggregation``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.refinement.base import Refinement, RefinementConfig, per_field, stacked

PFFN_PROJECTION = 32


class ContextualEmbedding(Refinement):
    """TCE; the weights are ``t [B, F, d]`` before the outer ReLU.

    ``projection``: p, where the configuration names none.

    Example:
        >>> import torch
        >>> ContextualEmbedding(3, 4, RefinementConfig()).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(
        self, fields: int, width: int, config: RefinementConfig, projection: int | None = None
    ) -> None:
        super().__init__(fields, width)
        hidden = config.projection or projection or 2 * width
        views = 1 if config.shared_aggregation else fields
        self.aggregate = stacked(config, views, fields * width, hidden)
        self.project = stacked(config, fields, hidden, width)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        views_BFp = fn.relu(torch.einsum("bz,fzp->bfp", e_BFd.flatten(1), self.aggregate))
        t_BFd = per_field(views_BFp.expand(-1, self.fields, -1), self.project)
        return e_BFd * fn.relu(t_BFd), t_BFd

    def flops(self) -> int:
        views, flat, hidden = self.aggregate.shape
        return 2 * views * flat * hidden + 2 * self.fields * hidden * self.width


class ContextualBlocks(Refinement):
    """PFFN; the weights are those of its TCE.

    Example:
        >>> import torch
        >>> ContextualBlocks(3, 4, RefinementConfig())(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.embedding = ContextualEmbedding(fields, width, config, PFFN_PROJECTION)
        self.weight = stacked(config, fields, width, width)
        self.norm, self.blocks = nn.LayerNorm(width), config.blocks

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        e_BFd, t_BFd = self.embedding.refine(e_BFd)
        for _ in range(self.blocks):
            e_BFd = self.norm(e_BFd + per_field(e_BFd, self.weight))
        return e_BFd, t_BFd

    def flops(self) -> int:
        return self.embedding.flops() + 2 * self.blocks * self.fields * self.width**2
