"""xDeepFM: compressed interactions of growing order, vector by vector, beside a deep network.

Paper: Lian et al., "xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender
Systems", KDD 2018, arXiv 1803.05170. Compressed interaction network (CIN), layer k (eq. 6, 8, 9):

    X^k_h = act(sum_{i, j} W^k_hij (X^{k-1}_i * X^0_j))     H_k vectors of width E
    p^k_h = sum_e X^k_he                                    pooled
    logit_t = w_t0 + sum_i w_ti + [p^1 ; ... ; p^K] . u_t + MLP([v_1 ; ... ; v_V]) . d_t

Both last terms lie in one linear unit here, which is the same sum. As the released implementations
have it, half of a layer's vectors is pooled and the other half goes on (``split``), all of the last
layer's being pooled; ReLU is theirs too, and ``activation=none`` is the paper's best.

Branches: ``cross`` (CIN) and ``deep``. Axes: B batch, V vectors, E width, H vectors of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hemix.models.layers.dense import MLP, mlp_flops, xavier_slices_
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FirstOrderConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec


class XDeepFMConfig(FirstOrderConfig, DeepConfig):
    """Shape of an xDeepFM."""

    search: ClassVar[Space] = {
        **FirstOrderConfig.search,
        "maps": Choice(choices=([16], [32, 32], [100, 100])),
        "deep": Choice(choices=([128, 64], [256, 128], [400, 400, 400])),
        "activation": Choice(choices=("relu", "none")),
    }

    maps: tuple[int, ...] = Field(default=(32, 32), min_length=1)
    """H: vectors that each layer of the compressed interaction network makes."""
    split: bool = True
    """Whether half of a layer's vectors is pooled and the other half goes on; else all do both."""
    activation: Literal["relu", "none"] = "relu"
    """Of the compressed interaction network."""
    deep: tuple[int, ...] = (128, 64)
    """Hidden widths of the deep network; empty: without it."""

    @model_validator(mode="after")
    def _consistent(self) -> XDeepFMConfig:
        if self.split and any(maps % 2 for maps in self.maps[:-1]):
            raise ValueError("maps: a layer that is split in halves needs an even number")
        return self


class CompressedInteractions(nn.Module):
    """CIN: ``[B, V, E] -> [B, P]``, what is pooled of every layer.

    Args:
        vectors: V.
        maps: H of each layer.
        split: whether half of a layer is pooled and the other half goes on.
        activation: relu or none.

    Example:
        >>> CompressedInteractions(5, (4, 3))(torch.zeros(7, 5, 2)).shape
        torch.Size([7, 5])
    """

    def __init__(
        self,
        vectors: int,
        maps: Sequence[int],
        *,
        split: bool = True,
        activation: Literal["relu", "none"] = "relu",
    ) -> None:
        super().__init__()
        self.activation, last = activation, len(maps) - 1
        self.kept = [m // 2 if split and i < last else m for i, m in enumerate(maps)]
        self.passed = [m // 2 if split else m for m in maps]
        before = [vectors, *self.passed[:-1]]
        self.weights = nn.ParameterList(
            xavier_slices_(torch.empty(h * vectors, m)) for h, m in zip(before, maps, strict=True)
        )
        self.width = sum(self.kept)

    def forward(self, x_BVE: Tensor) -> Tensor:
        x_BHE, pooled = x_BVE, []
        for weight, kept, passed in zip(self.weights, self.kept, self.passed, strict=True):
            pairs = (x_BHE[:, :, None] * x_BVE[:, None]).flatten(1, 2)
            y_BHE = weight.T @ pairs
            if self.activation == "relu":
                y_BHE = y_BHE.relu()
            pooled.append(y_BHE[:, :kept].sum(2))
            x_BHE = y_BHE[:, -passed:]
        return torch.cat(pooled, 1)

    def flops(self, vectors: int, width: int) -> int:
        """Of a row: the products of pairs, their combinations, the pooling."""
        pairs = [weight.shape[0] for weight in self.weights]
        made = [weight.shape[1] for weight in self.weights]
        mixed = sum(p * width * (1 + 2 * m) for p, m in zip(pairs, made, strict=True))
        return mixed + self.width * width


class XDeepFM(FieldRanker):
    """xDeepFM (Lian et al., KDD 2018); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> XDeepFM(toy_spec(), XDeepFMConfig(maps=(4,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "xdeepfm"
    config_type = XDeepFMConfig

    def __init__(self, spec: FeatureSpec, config: XDeepFMConfig) -> None:
        self.branches = ("cross", "deep") if config.deep else ("cross",)
        super().__init__(spec, config)
        self.config = config
        self.cin = CompressedInteractions(
            sum(self.groups), config.maps, split=config.split, activation=config.activation
        )
        self.deep = (
            MLP(self.flat_width, config.deep, config.dropout, config.deep_norm)
            if config.deep
            else None
        )
        self.tower = self.towers(self.cin.width + (self.deep.width if self.deep else 0), config)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch, without the first order."""
        u: Tensor = self.cin(x["cross"])
        if self.deep is not None:
            u = torch.cat([u, self.deep(x["deep"].flatten(1))], 1)
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share and the request's weights is a candidate's."""
        c, last = self.config, self.cin.width
        request, candidate = self.input_flops()
        candidate += self.cin.flops(sum(self.groups), c.embedding.width)
        if self.deep is not None:
            candidate, last = candidate + mlp_flops(self.flat_width, c.deep), last + c.deep[-1]
        candidate += len(self.tower) * mlp_flops(last, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
