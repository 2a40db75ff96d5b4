"""DCN V2: cross layers of a matrix each, beside a deep network or before it.

Paper: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, arXiv 2008.13535. With x_0 the
vectors of a row side by side (eq. 1):

    x_{l+1} = x_0 * (W_l x_l + b_l) + x_l                  * entry by entry
    parallel   logit_t = [x_L ; MLP(x_0)] . u_t + c_t      sec. 3.4, the default
    stacked    logit_t = MLP(x_L) . u_t + c_t

Without ``deep`` it is the cross network alone. The paper has no first-order term.

Branches: ``cross``, and ``deep`` where it stands beside. Axes: B batch, V vectors, D = V E.
INFERRED: a history is the mean of its events; ``interest=din`` gives the candidate's interest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.dense import MLP, CrossLayer, mlp_flops
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FieldRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class DCNv2Config(FieldRankerConfig, DeepConfig):
    """Shape of a DCN V2."""

    search: ClassVar[Space] = {
        **FieldRankerConfig.search,
        "structure": Choice(choices=("parallel", "stacked")),
        "crosses": Range(low=1, high=4),
        "deep": Choice(choices=([64, 32], [128, 64], [256, 128])),
    }

    interest: Literal["mean", "din"] = "mean"
    """What a history becomes: the mean of its events, or DIN's interest of the candidate."""
    structure: Literal["parallel", "stacked"] = "parallel"
    """Where the deep network stands: beside the crosses, or after them."""
    crosses: int = Field(default=2, ge=0)
    """Cross layers."""
    deep: tuple[int, ...] = (128, 64)
    """Hidden widths of the deep network; empty: the crosses alone."""


class DCNv2(FieldRanker):
    """DCN V2 (Wang et al., WWW 2021); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> logits = DCNv2(toy_spec(), DCNv2Config(deep=(8,)))(toy_batch(rows=3))
        >>> logits["click"].shape
        torch.Size([3])
    """

    name = "dcnv2"
    config_type = DCNv2Config
    side_by_side = True
    interactions = ("cross",)

    def __init__(self, spec: FeatureSpec, config: DCNv2Config) -> None:
        beside = bool(config.deep) and config.structure == "parallel"
        self.branches = ("cross", "deep") if beside else ("cross",)
        super().__init__(spec, config)
        self.config, width = config, self.flat_width
        self.cross = nn.ModuleList(CrossLayer(width) for _ in range(config.crosses))
        self.deep = (
            MLP(width, config.deep, config.dropout, config.deep_norm) if config.deep else None
        )
        self.tower = self.towers(self._last, config)

    @property
    def _last(self) -> int:
        """Width of what the towers read."""
        if self.deep is None:
            return self.flat_width
        return self.deep.width + (self.flat_width if "deep" in self.branches else 0)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch."""
        x0_BD = u = self.flat(x["cross"])
        for cross in self.cross:
            u = cross(x0_BD, u)
        if self.deep is not None:
            beside = "deep" in self.branches
            deep = self.deep(self.flat(x["deep"]) if beside else u)
            u = torch.cat([u, deep], 1) if beside else deep
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """Crosses, deep network and towers are a candidate's."""
        c, width = self.config, self.flat_width
        request, candidate = self.input_flops()
        candidate += c.crosses * 2 * width**2 + mlp_flops(width, c.deep)
        candidate += len(self.tower) * mlp_flops(self._last, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
