"""GCN, GDCN-S and GDCN-P: cross layers with a gate on every entry.

Paper: Wang et al., "Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction",
CIKM 2023, arXiv 2311.04635. With c_0 the vectors of a row side by side (eq. 2):

    c_{l+1} = c_0 * (W_l c_l + b_l) * sigmoid(G_l c_l) + c_l        * entry by entry

    GCN      logit_t = c_L . u_t + d_t                     gated crosses alone
    GDCN-S   logit_t = MLP(c_L) . u_t + d_t                a deep network after them
    GDCN-P   logit_t = [c_L ; MLP(c_0)] . u_t + d_t        a deep network beside them

The gate multiplies: a port that adds it does not learn. With gates of 1 this is DCN V2. The paper
has no first-order term. Its deep networks have batch norm (``deep_norm="batch"``), whose statistics
depend on how a batch is shared; none by default, a deviation. Widths may differ from field to
field: the layers read the vectors side by side.

Branches: ``cross``, in GDCN-P also ``deep``. Axes: B batch, V vectors, D the sum of their widths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.dense import MLP, mlp_flops
from hemix.models.layers.interactions.crosses import GatedCross
from hemix.models.pictures import Look, Picture
from hemix.models.rankers.crossing.gdcn_pictures import gated_pictures
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FieldRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class GCNConfig(FieldRankerConfig):
    """Shape of a GCN."""

    search: ClassVar[Space] = {**FieldRankerConfig.search, "crosses": Range(low=1, high=8)}

    crosses: int = Field(default=3, ge=1)
    """Gated cross layers."""
    released_init: bool = False
    """Whether the crosses begin as the release's: biases uniform in [0, 1]."""


class GDCNConfig(GCNConfig, DeepConfig):
    """Shape of a GDCN-S or GDCN-P."""

    search: ClassVar[Space] = {
        **GCNConfig.search,
        "deep": Choice(choices=([64, 32], [128, 64], [256, 128])),
    }

    deep: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    """Hidden widths of the deep network."""


class GatedCrosses(nn.Module):
    """The stack of gated cross layers: ``[B, D] -> [B, D]``.

    Example:
        >>> GatedCrosses(4, 2)(torch.ones(3, 4)).shape
        torch.Size([3, 4])
    """

    def __init__(self, width: int, layers: int, *, released_init: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GatedCross(width, released_init=released_init) for _ in range(layers)
        )

    def forward(self, c0_BD: Tensor) -> Tensor:
        c_BD = c0_BD
        for layer in self.layers:
            c_BD = layer(c0_BD, c_BD)
        return c_BD

    def gates(self, c0_BD: Tensor) -> list[Tensor]:
        """What each layer's gate lets through of each entry, ``[B, D]``."""
        c_BD, found = c0_BD, []
        for layer in self.layers:
            assert isinstance(layer, GatedCross)
            found.append(layer.gates(c_BD))
            c_BD = layer(c0_BD, c_BD)
        return found


class GCN(FieldRanker):
    """GCN (Wang et al., CIKM 2023); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> GCN(toy_spec(), GCNConfig())(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "gcn"
    config_type: ClassVar[type[GCNConfig]] = GCNConfig
    side_by_side = True
    interactions = ("crosses",)
    structure: ClassVar[Literal["alone", "stacked", "parallel"]] = "alone"

    def __init__(self, spec: FeatureSpec, config: GCNConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, self.flat_width
        self.crosses = GatedCrosses(width, config.crosses, released_init=config.released_init)
        self.deep: MLP | None = None
        if isinstance(config, GDCNConfig):
            self.deep = MLP(width, config.deep, config.dropout, config.deep_norm)
        self.tower = self.towers(self._last, config)

    @property
    def _last(self) -> int:
        """Width of what the towers read."""
        deep = self.deep.width if self.deep else 0
        return {
            "alone": self.flat_width,
            "stacked": deep,
            "parallel": self.flat_width + deep,
        }[self.structure]

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch."""
        u: Tensor = self.crosses(self.flat(x["cross"]))
        if self.deep is not None:
            parallel = self.structure == "parallel"
            deep = self.deep(self.flat(x["deep"]) if parallel else u)
            u = torch.cat([u, deep], 1) if parallel else deep
        return {task: tower(u) for task, tower in self.tower.items()}

    def pictures(self, look: Look) -> Iterator[Picture]:
        """Importances of pairs of fields, and gates (:mod:`.gdcn_pictures`)."""
        return gated_pictures(self.crosses, look, self.config.embedding.width)

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        c, width = self.config, self.flat_width
        request, candidate = self.input_flops()
        candidate += c.crosses * GatedCross.flops(width)
        if isinstance(c, GDCNConfig):
            candidate += mlp_flops(width, c.deep)
        candidate += len(self.tower) * mlp_flops(self._last, (*c.tower, 1))
        return {"request": request, "candidate": candidate}


class GDCNS(GCN):
    """GDCN-S, the stacked form; the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> GDCNS(toy_spec(), GDCNConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "gdcn_s"
    config_type = GDCNConfig
    structure: ClassVar[Literal["alone", "stacked", "parallel"]] = "stacked"


class GDCNP(GCN):
    """GDCN-P, the parallel form; the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> GDCNP(toy_spec(), GDCNConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "gdcn_p"
    config_type = GDCNConfig
    branches: tuple[str, ...] = ("cross", "deep")
    structure: ClassVar[Literal["alone", "stacked", "parallel"]] = "parallel"
