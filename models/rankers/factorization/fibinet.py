"""FiBiNET: bilinear products of all pairs, of the vectors and of the vectors weighed by importance.

Paper: Huang et al., "FiBiNET: Combining Feature Importance and Bilinear Feature Interaction for
Click-Through Rate Prediction", RecSys 2019, arXiv 1905.09433:

    q_i = mean_e v_ie ;  a = relu(A_2 relu(A_1 q)) ;  v'_i = a_i v_i       SENET, eq. 2 to 4
    p_ij = (v_i W) * v_j  for i < j                                        bilinear, eq. 5 to 7
    logit_t = w_t0 + sum_i w_ti + MLP([p_12 ; ... ; p'_12 ; ...]) . u_t    eq. 8

INFERRED: SENET's last bias begins at 1, so that every field is let through first; the same layer as a
refinement (layers/refinement/squeeze.py) was seen to lose fields for good otherwise.

W is one matrix (``bilinear=all``), one a left vector (``each``) or one a pair (``interaction``);
the plain and the weighed products have matrices of their own.

Branches: ``cross`` (the plain vectors) and ``weighed`` (those that SENET weighs). Axes: B batch, V
vectors, E width, P = V (V - 1) / 2 pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.dense import MLP, mlp_flops, xavier_slices_
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FirstOrderConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec

Kind = Literal["all", "each", "interaction"]


class FiBiNETConfig(FirstOrderConfig, DeepConfig):
    """Shape of a FiBiNET."""

    search: ClassVar[Space] = {
        **FirstOrderConfig.search,
        "bilinear": Choice(choices=("all", "each", "interaction")),
        "reduction": Choice(choices=(1, 3, 8)),
        "deep": Choice(choices=([64], [128, 64], [400, 400, 400])),
    }

    bilinear: Kind = "all"
    """How many matrices the products have: one, one a left vector, one a pair."""
    reduction: int = Field(default=3, ge=1)
    """By how much SENET's hidden layer is narrower than the number of vectors."""
    deep: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    """Hidden widths of the deep network over the products."""


class SqueezeExcitation(nn.Module):
    """SENET: every vector times its importance, ``[B, V, E] -> [B, V, E]``.

    Example:
        >>> SqueezeExcitation(6, 3)(torch.zeros(7, 6, 2)).shape
        torch.Size([7, 6, 2])
    """

    def __init__(self, vectors: int, reduction: int) -> None:
        super().__init__()
        self.hidden = max(1, vectors // reduction)
        self.squeeze, self.excite = nn.Linear(vectors, self.hidden), nn.Linear(self.hidden, vectors)
        for layer in (self.squeeze, self.excite):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.ones_(self.excite.bias)

    def forward(self, x_BVE: Tensor) -> Tensor:
        weight_BV = self.excite(self.squeeze(x_BVE.mean(2)).relu()).relu()
        return x_BVE * weight_BV[:, :, None]

    def flops(self, vectors: int, width: int) -> int:
        """Of a row."""
        return 2 * vectors * width + mlp_flops(vectors, (self.hidden, vectors))


class BilinearPairs(nn.Module):
    """``(v_i W) * v_j`` of all pairs i < j: ``[B, V, E] -> [B, P, E]``.

    Example:
        >>> BilinearPairs(4, 2, "each")(torch.zeros(7, 4, 2)).shape
        torch.Size([7, 6, 2])
    """

    pairs: Tensor

    def __init__(self, vectors: int, width: int, kind: Kind) -> None:
        super().__init__()
        self.register_buffer(
            "pairs", torch.triu_indices(vectors, vectors, offset=1), persistent=False
        )
        self.kind = kind
        count = {"all": 1, "each": max(vectors - 1, 0), "interaction": self.pairs.shape[1]}[kind]
        self.weight = nn.Parameter(xavier_slices_(torch.empty(count, width, width)))

    def forward(self, x_BVE: Tensor) -> Tensor:
        left, right = self.pairs
        if self.kind == "interaction":
            mapped = torch.einsum("bpe,pef->bpf", x_BVE[:, left], self.weight)
        elif self.kind == "each":
            each = torch.einsum("bve,vef->bvf", x_BVE[:, : len(self.weight)], self.weight)
            mapped = each[:, left]
        else:
            mapped = (x_BVE @ self.weight[0])[:, left]
        return mapped * x_BVE[:, right]

    def flops(self, vectors: int, width: int) -> int:
        """Of a row; with one matrix the last vector is mapped for nothing."""
        pairs = self.pairs.shape[1]
        mapped = {"all": vectors, "each": vectors - 1, "interaction": pairs}[self.kind]
        return 2 * mapped * width**2 + pairs * width


class FiBiNET(FieldRanker):
    """FiBiNET (Huang et al., RecSys 2019); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> FiBiNET(toy_spec(), FiBiNETConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "fibinet"
    config_type = FiBiNETConfig
    branches: tuple[str, ...] = ("cross", "weighed")

    def __init__(self, spec: FeatureSpec, config: FiBiNETConfig) -> None:
        super().__init__(spec, config)
        self.config, vectors, width = config, sum(self.groups), config.embedding.width
        self.senet = SqueezeExcitation(vectors, config.reduction)
        self.plain, self.weighed = (
            BilinearPairs(vectors, width, config.bilinear) for _ in range(2)
        )
        self.pairs_width = vectors * (vectors - 1) * width
        self.deep = MLP(self.pairs_width, config.deep, config.dropout, config.deep_norm)
        self.tower = self.towers(self.deep.width, config)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch, without the first order."""
        pairs = [self.plain(x["cross"]), self.weighed(self.senet(x["weighed"]))]
        u = self.deep(torch.cat(pairs, 1).flatten(1))
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share and the request's weights is a candidate's."""
        c, vectors, width = self.config, sum(self.groups), self.config.embedding.width
        request, candidate = self.input_flops()
        candidate += self.senet.flops(vectors, width) + 2 * self.plain.flops(vectors, width)
        candidate += mlp_flops(self.pairs_width, c.deep)
        candidate += len(self.tower) * mlp_flops(self.deep.width, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
