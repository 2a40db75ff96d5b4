"""Hiformer: attention in which every pair of features interacts in its own way.

Paper: Gui et al., "Hiformer: Heterogeneous Feature Interactions Learning with Transformers for
Recommender Systems", arXiv 2311.05884. Tokens are one learned vector a task and the vectors of a
row, ``x [B, n, E]``. In head h keys are a composite projection of all tokens together (queries and
values alike), of low rank:

    [k_1 ; ... ; k_n] = [x_1 ; ... ; x_n] L_h R_h      L_h [n E, r], R_h [r, n d], d = E / H
    y_i = [softmax_j(q_i . k_j / sqrt(d)) v_j]_h       heads side by side
    s_i = LN(x_i + y_i) ;  x'_i = LN(s_i + FFN_i(s_i))       FFN_i: GELU, weights of its own

The last layer computes the rows of the task tokens alone (their queries, their FFN); each enters
the tower of its task.

Axes: B batch, n tokens, E embedding width, H heads of width d, r rank, T tasks. INFERRED: the norms'
place, no projection after the heads, a sequence as DIN's interest (papers that take Hiformer for a
base line compare "HiFormer + DIN").
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import mlp_flops, split_axis, xavier_slices_
from hemix.models.layers.per_token import HeteroFFN
from hemix.models.rankers.vector import VectorRanker, VectorRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class HiformerConfig(VectorRankerConfig):
    """Shape of a Hiformer."""

    search: ClassVar[Space] = {
        **VectorRankerConfig.search,
        "layers": Range(low=1, high=3),
        "heads": Choice(choices=(1, 2, 4)),
        "rank": Choice(choices=(16, 40, 64)),
        "ffn_expansion": Range(low=1, high=4),
        "norm": Choice(choices=(True, False)),
    }

    interest: Literal["mean", "din"] = "din"
    """What a history becomes: the mean of its events, or DIN's interest of the candidate."""
    layers: int = Field(default=2, ge=1)
    """Attention layers."""
    heads: int = Field(default=2, ge=1)
    """H: attention heads; the embedding width must be a multiple."""
    rank: int = Field(default=40, ge=1)
    """r: rank of the composite projections."""
    ffn_expansion: int = Field(default=4, ge=1)
    """Hidden width of a token's feed-forward network, in embedding widths."""
    norm: bool = True
    """Whether the layers have LayerNorms."""

    @model_validator(mode="after")
    def _consistent(self) -> HiformerConfig:
        if self.embedding.width % self.heads:
            raise ValueError(f"embedding.width {self.embedding.width} is not a multiple of heads")
        return self


class CompositeAttention(nn.Module):
    """Attention of ``rows`` first tokens to all: ``[B, n, E] -> [B, rows, E]``.

    Args:
        tokens: n.
        width: E.
        heads: H.
        rank: r.
        rows: how many of the first tokens are computed.

    Example:
        >>> CompositeAttention(5, 4, heads=2, rank=3, rows=2)(torch.zeros(7, 5, 4)).shape
        torch.Size([7, 2, 4])
    """

    def __init__(self, tokens: int, width: int, *, heads: int, rank: int, rows: int) -> None:
        super().__init__()
        size = width // heads
        self.left = nn.Parameter(xavier_slices_(torch.empty(3, heads, tokens * width, rank)))
        self.query = nn.Parameter(xavier_slices_(torch.empty(heads, rank, rows * size)))
        self.key, self.value = (
            nn.Parameter(xavier_slices_(torch.empty(heads, rank, tokens * size))) for _ in range(2)
        )
        self.size = size

    def forward(self, x_BnE: Tensor) -> Tensor:
        u_PBHr = torch.einsum("bf,phfr->pbhr", x_BnE.flatten(1), self.left)
        q, k, v = (
            split_axis(torch.einsum("bhr,hrf->bhf", u, right), -1, (-1, self.size))
            for u, right in zip(u_PBHr, (self.query, self.key, self.value), strict=True)
        )
        return fn.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class HiformerLayer(nn.Module):
    """Attention and FFN with residuals and norms: ``[B, n, E] -> [B, rows, E]``."""

    def __init__(self, tokens: int, width: int, rows: int, config: HiformerConfig) -> None:
        super().__init__()
        self.rows = rows
        self.attention = CompositeAttention(
            tokens, width, heads=config.heads, rank=config.rank, rows=rows
        )
        self.ffn = HeteroFFN(rows, width, config.ffn_expansion * width)
        self.attention_norm, self.ffn_norm = (
            nn.LayerNorm(width) if config.norm else nn.Identity() for _ in range(2)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BnE: Tensor) -> Tensor:
        read = self.dropout(self.attention(x_BnE))
        s_BnE = self.attention_norm(x_BnE[:, : self.rows] + read)
        y_BnE: Tensor = self.ffn_norm(s_BnE + self.dropout(self.ffn(s_BnE)))
        return y_BnE


class Hiformer(VectorRanker):
    """Hiformer (Gui et al., 2023); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> Hiformer(toy_spec(), HiformerConfig(rank=2))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "hiformer"
    config_type = HiformerConfig

    def __init__(self, spec: FeatureSpec, config: HiformerConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.embedding.width
        self.task = nn.Parameter(torch.randn(len(spec.tasks), width) * 0.02)
        self.layers = nn.ModuleList(
            HiformerLayer(self._tokens, width, rows, config) for rows in self._rows()
        )
        self.tower = self.towers(width, config)

    @property
    def _tokens(self) -> int:
        return len(self.spec.tasks) + sum(self.groups)

    def _rows(self) -> list[int]:
        """How many tokens leave each layer: the last one's are the tasks' alone."""
        return [self._tokens] * (self.config.layers - 1) + [len(self.spec.tasks)]

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        x_BnE = torch.cat([self.task.expand(len(x_BVE), -1, -1), x_BVE], 1)
        for layer in self.layers:
            x_BnE = layer(x_BnE)
        return {
            task: tower(x_BnE[:, index]) for index, (task, tower) in enumerate(self.tower.items())
        }

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        c, width, n = self.config, self.config.embedding.width, self._tokens
        request, candidate = self.input_flops()
        for rows in self._rows():
            candidate += 2 * 3 * c.heads * n * width * c.rank  # to the rank
            candidate += 2 * c.rank * (rows + 2 * n) * width  # and back: queries, keys, values
            candidate += 4 * rows * n * width + 4 * c.ffn_expansion * rows * width**2
        candidate += len(self.tower) * mlp_flops(width, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
