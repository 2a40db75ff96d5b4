"""Wukong: stacked factorisation machines.

Paper: Zhang et al., "Wukong: Towards a Scaling Law for Large-Scale Recommendation", ICML 2024,
arXiv 2403.02545. Layer i, from ``X [B, n, E]`` to ``[B, n_F + n_L, E]``; it holds interactions up
to order ``2^i``:

    FM(X)  = X (X' Y)                                  Y [n, k], learned       sec. 3.6
    FMB(X) = reshape(MLP(LN(flatten(FM(X)))))          [B, n_F, E]
    LCB(X) = W_L X                                     [B, n_L, E], W_L [n_L, n]
    X'     = LN([FMB(X) ; LCB(X)] + W_res X)           W_res where n changes

The last vectors go side by side through a final MLP, then one linear unit a task.

Axes: B batch, n vectors of a row, E embedding width, k compressed vectors. The paper's numbers are
one vector by an MLP; here each has its own, as in all rankers. INFERRED: the FMB's MLP ends in a
linear layer; Y is learned and not attentive (the paper offers both); a sequence enters as DIN's
interest (papers that take Wukong for a base line compare "Wukong + DIN").
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import MLP, mlp_flops, split_axis, xavier_slices_
from hemix.models.rankers.vector import VectorRanker, VectorRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class WukongConfig(VectorRankerConfig):
    """Shape of a Wukong."""

    search: ClassVar[Space] = {
        **VectorRankerConfig.search,
        "layers": Range(low=1, high=4),
        "machines": Choice(choices=(8, 16, 32)),
        "compressed": Choice(choices=(8, 16, 32)),
        "rank": Choice(choices=(4, 8, 16)),
        "hidden": Choice(choices=([128], [416], [128, 128])),
        "norm": Choice(choices=(True, False)),
    }

    interest: Literal["mean", "din"] = "din"
    """What a history becomes: the mean of its events, or DIN's interest of the candidate."""
    layers: int = Field(default=2, ge=1)
    """Stacked layers; layer i holds interactions up to order 2^i."""
    machines: int = Field(default=16, ge=1)
    """n_F: vectors that a layer's factorisation machine block makes."""
    compressed: int = Field(default=16, ge=1)
    """n_L: vectors that a layer's linear block keeps."""
    rank: int = Field(default=8, ge=1)
    """k: compressed vectors of the factorisation machine."""
    hidden: tuple[int, ...] = (416,)
    """Hidden widths of the factorisation machine block's MLP."""
    final: tuple[int, ...] = (128, 64)
    """Hidden widths of the MLP over the last layer's vectors."""
    tower: tuple[int, ...] = ()
    """Hidden widths of each task's own MLP; empty for one linear unit."""
    norm: bool = True
    """Whether a layer has its two LayerNorms."""


class FactorizationBlock(nn.Module):
    """FMB: ``[B, n, E] -> [B, n_F, E]``."""

    def __init__(self, vectors: int, width: int, config: WukongConfig) -> None:
        super().__init__()
        self.split = (config.machines, width)
        flat = vectors * config.rank
        self.y = nn.Parameter(xavier_slices_(torch.empty(vectors, config.rank)))
        self.norm = nn.LayerNorm(flat) if config.norm else nn.Identity()
        self.mlp = MLP(flat, config.hidden, config.dropout)
        self.out = nn.Linear(self.mlp.width, config.machines * width)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_BnE: Tensor) -> Tensor:
        machine_Bnk = x_BnE @ (x_BnE.transpose(1, 2) @ self.y)
        return split_axis(self.out(self.mlp(self.norm(machine_Bnk.flatten(1)))), -1, self.split)


class WukongLayer(nn.Module):
    """``[B, n, E] -> [B, n_F + n_L, E]``.

    Example:
        >>> WukongLayer(5, 4, WukongConfig(machines=2, compressed=3))(torch.zeros(7, 5, 4)).shape
        torch.Size([7, 5, 4])
    """

    def __init__(self, vectors: int, width: int, config: WukongConfig) -> None:
        super().__init__()
        out = config.machines + config.compressed
        self.machines = FactorizationBlock(vectors, width, config)
        self.compress = nn.Parameter(xavier_slices_(torch.empty(config.compressed, vectors)))
        residual = xavier_slices_(torch.empty(out, vectors))
        self.residual = nn.Parameter(residual) if out != vectors else None
        self.norm = nn.LayerNorm(width) if config.norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BnE: Tensor) -> Tensor:
        both = torch.cat([self.machines(x_BnE), self.compress @ x_BnE], 1)
        kept = x_BnE if self.residual is None else self.residual @ x_BnE
        y_BnE: Tensor = self.norm(self.dropout(both) + kept)
        return y_BnE


class Wukong(VectorRanker):
    """Wukong (Zhang et al., ICML 2024); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> Wukong(toy_spec(), WukongConfig(hidden=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "wukong"
    config_type = WukongConfig

    def __init__(self, spec: FeatureSpec, config: WukongConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.embedding.width
        self.out = config.machines + config.compressed
        self.layers = nn.ModuleList(
            WukongLayer(vectors, width, config) for vectors in self._vectors()
        )
        self.final = MLP(self.out * width, config.final, config.dropout)
        self.tower = self.towers(self.final.width, config)

    def _vectors(self) -> list[int]:
        """How many vectors enter each layer."""
        return [sum(self.groups)] + [self.out] * (self.config.layers - 1)

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        for layer in self.layers:
            x_BVE = layer(x_BVE)
        u = self.final(x_BVE.flatten(1))
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        c, width = self.config, self.config.embedding.width
        request, candidate = self.input_flops()
        for n in self._vectors():
            candidate += 4 * n * width * c.rank
            candidate += mlp_flops(n * c.rank, (*c.hidden, c.machines * width))
            candidate += 2 * c.compressed * n * width + 2 * (self.out != n) * self.out * n * width
        candidate += mlp_flops(self.out * width, c.final)
        candidate += len(self.tower) * mlp_flops(self.final.width, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
