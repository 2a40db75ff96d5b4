"""DLRM: pairwise products of all vectors, then one deep network.

Paper: Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation
Systems", arXiv 1906.00091. A bottom MLP makes one vector of all numbers (sec. 2.1); the dot
products of all pairs of vectors, beside the bottom vector, enter a top MLP (sec. 2.2.1):

    z = MLP_bottom(numbers)                        [B, E]
    X = [x_1 ; ... ; x_V ; z]                      [B, V + 1, E]
    u = MLP_top([z ; x_i . x_j for all j < i])     (V + 1) V / 2 products

``interaction="concat"`` feeds the vectors themselves instead of their products. That is the
"DLRM-MLP" that papers of ByteDance and AMAP take for their base line (INFERRED: they do not say
what they mean by it); it stands on the embeddings alone, without any explicit interaction.

Axes: B batch, V vectors of a row, E embedding width, R vectors that no candidate changes. INFERRED:
numbers keep their bucket vectors beside the bottom MLP, so that all rankers see the same fields;
a sequence is the mean of its events, column by column; several tasks share the top MLP. The pairs
among the R vectors of the request come first, and their share of the top MLP is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.layers.dense import MLP, mlp_flops
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES
from hemix.models.rankers.vector import RequestVectors, SharedMLP, VectorRanker, VectorRankerConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec, Side


class DLRMConfig(VectorRankerConfig):
    """Shape of a DLRM."""

    search: ClassVar[Space] = {
        **VectorRankerConfig.search,
        "bottom": Choice(choices=([32], [64, 32], [128, 64])),
        "top": Choice(choices=([128], [144, 64], [256, 128])),
    }

    interaction: Literal["dot", "concat"] = "dot"
    """What enters the top MLP: all pairs' dot products, or the vectors themselves (concat, the
    DLRM-MLP of other papers)."""
    bottom: tuple[int, ...] = (64, 32)
    """Hidden widths of the MLP over the numbers; it ends in the embedding width."""
    top: tuple[int, ...] = Field(default=(144, 64), min_length=1)
    """Hidden widths of the MLP over the interactions."""
    tower: tuple[int, ...] = ()
    """Hidden widths of each task's own MLP; empty for one linear unit."""


@dataclass(frozen=True, kw_only=True)
class DLRMRequest:
    """What candidates share: vectors, numbers ``[B or 1, .]``, and unless the vectors are refined the
    top MLP's first product.
    """

    vectors: RequestVectors
    numbers: Tensor
    product: Tensor | None


class DLRM(VectorRanker):
    """DLRM (Naumov et al., 2019); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> DLRM(toy_spec(), DLRMConfig(top=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "dlrm"
    config_type = DLRMConfig
    pairs: Tensor

    def __init__(self, spec: FeatureSpec, config: DLRMConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.embedding.width
        widths = (*config.bottom, width)
        self.bottom = MLP(len(spec.numeric), widths, config.dropout) if spec.numeric else None
        request, last = self.request_count, int(self.bottom is not None)
        own = sum(self.groups) - request + last
        # Rows of the request come first, so its pairs are the first request * (request - 1) / 2.
        pairs = torch.tril_indices(own, request + own, offset=request - 1)
        self.register_buffer("pairs", pairs, persistent=False)
        if config.interaction == "dot":
            shared, rest = request * (request - 1) // 2, pairs.shape[1] + last * width
        else:
            shared, rest = request * width, own * width
        self.top = SharedMLP(shared, rest, config.top, config.dropout)
        self.tower = self.towers(self.top.width, config)

    def encode_request(self, request: Batch) -> DLRMRequest:
        """The request's vectors, their products and these products' share of the top MLP."""
        vectors = self.request_vectors(request)
        product = None if self.refinements else self._product(vectors.vectors)
        numbers = self._numbers(request, REQUEST_SIDES)
        return DLRMRequest(vectors=vectors, numbers=numbers, product=product)

    def _product(self, x_BRE: Tensor) -> Tensor:
        """The share of the top MLP's first layer that the request's vectors have."""
        if self.config.interaction == "concat":
            return self.top.shared(x_BRE.flatten(1))
        count = x_BRE.shape[1]
        rows, columns = torch.tril_indices(count, count, offset=-1, device=x_BRE.device)
        return self.top.shared((x_BRE @ x_BRE.transpose(1, 2))[:, rows, columns])

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, DLRMRequest)
        (x_BVE,) = self.inputs(self.row_vectors(state.vectors, items)).values()
        request_BRE, own_BVE = x_BVE.tensor_split([self.request_count], 1)
        product = self._product(request_BRE) if state.product is None else state.product
        beside = own_BVE.new_zeros(items.size, 0)
        if self.bottom is not None:
            numbers = [state.numbers.expand(items.size, -1), self._numbers(items, ITEM_SIDES)]
            beside = self.bottom(torch.cat(numbers, 1))
            own_BVE = torch.cat([own_BVE, beside[:, None]], 1)
        if self.config.interaction == "dot":
            x_BVE = torch.cat([request_BRE, own_BVE], 1)
            rows, columns = self.pairs
            products = (own_BVE @ x_BVE.transpose(1, 2))[:, rows, columns]
            rest = torch.cat([products, beside], 1)
        else:
            rest = own_BVE.flatten(1)
        u = self.top.own(product, rest)
        return {task: tower(u) for task, tower in self.tower.items()}

    def _numbers(self, batch: Batch, sides: tuple[Side, ...]) -> Tensor:
        """The scaled numbers of ``sides``, ``[B, n]``."""
        numbers = [batch.numbers[f.name] for f in self.spec.numeric if f.side in sides]
        if numbers:
            return torch.stack(numbers, 1)
        return self.embedding.directions.new_zeros(batch.size, 0)

    def flops_per_sample(self) -> dict[str, int]:
        """Products among the request's vectors, and their share of the top MLP, once per request."""
        width = self.config.embedding.width
        request, candidate = self.input_flops()
        shared, own = self.top.flops()
        if self.config.interaction == "dot":
            shared += self.request_count * (self.request_count - 1) * width
        if self.refinements:
            own, shared = own + shared, 0
        request, candidate = request + shared, candidate + own
        if self.config.interaction == "dot":
            candidate += 2 * self.pairs.shape[1] * width
        if self.bottom is not None:
            candidate += mlp_flops(len(self.spec.numeric), (*self.config.bottom, width))
        candidate += len(self.tower) * mlp_flops(self.top.width, (*self.config.tower, 1))
        return {"request": request, "candidate": candidate}
