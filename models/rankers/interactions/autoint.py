"""AutoInt+: self-attention among the vectors of a row, beside a deep network.

Paper: Song et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural
Networks", CIKM 2019, arXiv 1810.11921. Interacting layer, head h (eq. 5 to 8):

    a_ij = softmax_j((W_Q x_i) . (W_K x_j))        no scale under the softmax
    y_i^h = sum_j a_ij W_V x_j
    x'_i = ReLU([y_i^1 ; ... ; y_i^H] + W_res x_i)

Layers are stacked and their last vectors go side by side into a linear unit a task (eq. 9).
AutoInt+ (sec. 5.6) adds the logit of a deep network over the vectors themselves; both lie in one
linear unit here, which is the same sum. ``deep=()`` is AutoInt without it.

Axes: B batch, V vectors of a row, E embedding width, H heads of width d, A = H d. INFERRED: a
sequence is the mean of its events, column by column. With a refinement both the attention and its
residuals read the refined vectors (the benchmark of refinements has one residual in place of a
layer's own, and leaves that one raw).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.layers.dense import mlp_flops, split_axis, xavier_slices_
from hemix.models.rankers.vector import RequestVectors, SharedMLP, VectorRanker, VectorRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class AutoIntConfig(VectorRankerConfig):
    """Shape of an AutoInt+."""

    search: ClassVar[Space] = {
        **VectorRankerConfig.search,
        "layers": Range(low=1, high=3),
        "heads": Choice(choices=(1, 2, 4)),
        "head_width": Choice(choices=(8, 16, 32)),
        "deep": Choice(choices=([128, 64], [256, 128], [512, 384])),
    }

    layers: int = Field(default=3, ge=1)
    """Interacting layers."""
    heads: int = Field(default=2, ge=1)
    """H: attention heads per layer."""
    head_width: int = Field(default=16, ge=1)
    """d: width of one head."""
    deep: tuple[int, ...] = (512, 384)
    """Hidden widths of the deep network beside the attention; empty: AutoInt without it."""
    tower: tuple[int, ...] = ()
    """Hidden widths of each task's own MLP; empty for one linear unit, as in the paper."""

    @model_validator(mode="after")
    def _two_branches(self) -> AutoIntConfig:
        if self.refine_separate and not self.deep:
            raise ValueError("refine_separate: without a deep network there is one branch")
        return self


class InteractingLayer(nn.Module):
    """``[B, V, E] -> [B, V, H d]``, eq. 5 to 8.

    Example:
        >>> InteractingLayer(4, heads=2, head_width=3)(torch.zeros(5, 7, 4)).shape
        torch.Size([5, 7, 6])
    """

    def __init__(self, width: int, *, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        # Query, key, value and residual projection, no biases.
        self.weight = nn.Parameter(xavier_slices_(torch.empty(4, width, heads * head_width)))

    def forward(self, x_BVE: Tensor) -> Tensor:
        q, k, v, residual = (x_BVE @ weight for weight in self.weight)
        q, k, v = (split_axis(part, -1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        read = fn.scaled_dot_product_attention(q, k, v, scale=1.0)
        return fn.relu(read.transpose(1, 2).flatten(2) + residual)


@dataclass(frozen=True, kw_only=True)
class AutoIntRequest:
    """What candidates share: vectors, and unless they are refined the deep network's first product
    ``[B or 1, .]``.
    """

    vectors: RequestVectors
    product: Tensor | None


class AutoInt(VectorRanker):
    """AutoInt+ (Song et al., CIKM 2019); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> AutoInt(toy_spec(), AutoIntConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "autoint"
    config_type = AutoIntConfig
    interactions = ("attention",)
    branches = ("cross", "deep")

    def __init__(self, spec: FeatureSpec, config: AutoIntConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.embedding.width
        total, out = sum(self.groups), config.heads * config.head_width
        self.attention = nn.ModuleList(
            InteractingLayer(
                out if index else width, heads=config.heads, head_width=config.head_width
            )
            for index in range(config.layers)
        )
        shared = self.request_count * width
        rest = total * width - shared
        self.deep = SharedMLP(shared, rest, config.deep, config.dropout) if config.deep else None
        last = self.deep.width if self.deep else 0
        self.tower = self.towers(total * out + last, config)

    def encode_request(self, request: Batch) -> AutoIntRequest:
        """The request's vectors and their share of the deep network's first layer."""
        vectors = self.request_vectors(request)
        product = None
        if self.deep is not None and not self.refinements:
            product = self.deep.shared(vectors.vectors.flatten(1))
        return AutoIntRequest(vectors=vectors, product=product)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, AutoIntRequest)
        inputs = self.inputs(self.row_vectors(state.vectors, items))
        x_BVE, deep_BVE = inputs["cross"], inputs["deep"]
        for layer in self.attention:
            x_BVE = layer(x_BVE)
        u = x_BVE.flatten(1)
        if self.deep is not None:
            shared_BRE, own_BVE = deep_BVE.tensor_split([self.request_count], 1)
            product = state.product
            if product is None:
                product = self.deep.shared(shared_BRE.flatten(1))
            u = torch.cat([u, self.deep.own(product, own_BVE.flatten(1))], 1)
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """The deep network's share of the request's vectors is the request's."""
        request, candidate = self.input_flops()
        v, out = sum(self.groups), self.config.heads * self.config.head_width
        for index in range(self.config.layers):
            width = out if index else self.config.embedding.width
            candidate += 2 * 4 * v * width * out + 4 * v * v * out
        last = 0
        if self.deep is not None:
            shared, own = self.deep.flops()
            last, candidate = self.deep.width, candidate + own
            if self.refinements:
                candidate += shared
            else:
                request += shared
        candidate += len(self.tower) * mlp_flops(v * out + last, (*self.config.tower, 1))
        return {"request": request, "candidate": candidate}
