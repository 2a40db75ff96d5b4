"""DCN V2: explicit feature crosses beside a deep network.

Paper: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, arXiv 2008.13535.
Cross layer (eq. 1): ``x_{l+1} = x_0 * (W_l x_l + b_l) + x_l``; here the parallel form: the last
cross vector and the output of a deep network on ``x_0`` go side by side into the towers (sec. 3.4).

Axes: B batch, D width of ``x_0``: all field embeddings and, for each sequence, the mean of its
events (0 when it is empty).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from hemix.models.data.batch import Batch
from hemix.models.layers.dense import MLP, CrossLayer, mlp_flops
from hemix.models.rankers.base import Ranker, RankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class DCNv2Config(RankerConfig):
    """Shape of a DCN V2."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "crosses": Range(low=1, high=4),
        "deep": Choice(choices=([64, 32], [128, 64], [256, 128])),
    }

    crosses: int = 2
    """Cross layers."""
    deep: tuple[int, ...] = (128, 64)
    """Hidden widths of the deep network."""
    tower: tuple[int, ...] = ()
    """Hidden widths of each task's own MLP; empty for one linear unit."""


class DCNv2(Ranker):
    """DCN V2 (Wang et al., WWW 2021), its parallel form; the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> logits = DCNv2(toy_spec(), DCNv2Config(deep=(8,)))(toy_batch(rows=3))
        >>> logits["click"].shape
        torch.Size([3])
    """

    name = "dcnv2"
    config_type = DCNv2Config

    def __init__(self, spec: FeatureSpec, config: DCNv2Config) -> None:
        super().__init__(spec, config)
        self.config = config
        self.width = self.vector_count * config.embedding.width
        self.crosses = nn.ModuleList([CrossLayer(self.width) for _ in range(config.crosses)])
        self.deep = MLP(self.width, config.deep, config.dropout)
        self.tower = self.towers(self.width + self.deep.width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        x0_BD = x_BD = self.vectors(batch).flatten(1)
        for cross in self.crosses:
            x_BD = cross(x0_BD, x_BD)
        both = torch.cat([x_BD, self.deep(x0_BD)], 1)
        return {task: tower(both) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All work is a candidate's: crosses, deep network, towers."""
        flops = self.config.crosses * 2 * self.width**2 + mlp_flops(self.width, self.config.deep)
        flops += len(self.tower) * mlp_flops(self.width + self.deep.width, (*self.config.tower, 1))
        return {"request": 0, "candidate": flops}
