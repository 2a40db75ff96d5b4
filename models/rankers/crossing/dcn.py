"""DCN: cross layers of one weight vector each, beside a deep network.

Paper: Wang et al., "Deep & Cross Network for Ad Click Predictions", ADKDD 2017, arXiv 1708.05123.
With x_0 the vectors of a row side by side (eq. 3), a layer raises the order by one at D weights:

    x_{l+1} = x_0 (w_l . x_l) + b_l + x_l
    logit_t = [x_L ; MLP(x_0)] . u_t + c_t

Its layer is :class:`hemix.models.layers.interactions.crosses.VectorCross`; DCN V2, whose W_l has
equal rows, is the same function. The paper has no first-order term: x_0 passes through every layer.
Branches: ``cross`` and ``deep``. Axes: B batch, V vectors, D = V E.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.dense import MLP, mlp_flops
from hemix.models.layers.interactions.crosses import VectorCross
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FieldRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class DCNConfig(FieldRankerConfig, DeepConfig):
    """Shape of a DCN."""

    search: ClassVar[Space] = {
        **FieldRankerConfig.search,
        "crosses": Range(low=1, high=4),
        "deep": Choice(choices=([64, 32], [128, 64], [256, 128])),
    }

    crosses: int = Field(default=3, ge=1)
    """Cross layers."""
    deep: tuple[int, ...] = (128, 64)
    """Hidden widths of the deep network; empty: the crosses alone."""


class DCN(FieldRanker):
    """DCN (Wang et al., ADKDD 2017); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> DCN(toy_spec(), DCNConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "dcn"
    config_type = DCNConfig
    side_by_side = True
    interactions = ("crosses",)
    branches: tuple[str, ...] = ("cross", "deep")

    def __init__(self, spec: FeatureSpec, config: DCNConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, self.flat_width
        self.crosses = nn.ModuleList(VectorCross(width) for _ in range(config.crosses))
        self.deep = (
            MLP(width, config.deep, config.dropout, config.deep_norm) if config.deep else None
        )
        self.tower = self.towers(width + (self.deep.width if self.deep else 0), config)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch."""
        x0_BD = x_BD = self.flat(x["cross"])
        for cross in self.crosses:
            x_BD = cross(x0_BD, x_BD)
        if self.deep is not None:
            x_BD = torch.cat([x_BD, self.deep(self.flat(x["deep"]))], 1)
        return {task: tower(x_BD) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        c, width = self.config, self.flat_width
        request, candidate = self.input_flops()
        candidate += c.crosses * VectorCross.flops(width) + mlp_flops(width, c.deep)
        last = width + (self.deep.width if self.deep else 0)
        candidate += len(self.tower) * mlp_flops(last, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
