"""AFN+: interactions of any order, learned as powers in a logarithmic space, beside a deep network.

Paper: Cheng et al., "Adaptive Factorization Network: Learning Adaptive-Order Feature Interactions",
AAAI 2020, arXiv 1909.03276. A logarithmic neuron j multiplies all vectors, each to a power (eq. 4):

    y_j = exp(sum_i w_ij ln v_i) = prod_i v_i ^ w_ij        entry by entry, N neurons
    logit_t = w_t0 + sum_i w_ti + [MLP([y_1 ; ... ; y_N]) ; MLP'([v_1 ; ... ; v_V])] . u_t

The paper takes v > 0 and needs batch norm on both sides of the sum, for ln of a small number is
large. Here, as RefineCTR's code without batch norm has it, entries are ``|v|``, the logarithm is
``ln(1 + |v| + 1e-7)`` and its inverse ``exp(.) - 1``, of which the positive part is kept;
``logarithm=plain`` is ln(|v| + 1e-7) and exp. ``deep=()`` is AFN without the second network. The
first-order term is RefineCTR's.

Branches: ``cross`` (the logarithmic neurons) and ``deep``. Axes: B batch, V vectors, E width, N neurons.
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

SMALLEST = 1e-7
"""Added to the size of an entry before its logarithm."""


class AFNConfig(FirstOrderConfig, DeepConfig):
    """Shape of an AFN+."""

    search: ClassVar[Space] = {
        **FirstOrderConfig.search,
        "neurons": Choice(choices=(10, 16, 64)),
        "hidden": Choice(choices=([64], [128, 64], [400, 400, 400])),
        "deep": Choice(choices=([128, 64], [256, 128], [400, 400, 400])),
    }

    neurons: int = Field(default=16, ge=1)
    """N: logarithmic neurons."""
    logarithm: Literal["shifted", "plain"] = "shifted"
    """What entries become: ln(1 + |v|), or the paper's ln |v|."""
    hidden: tuple[int, ...] = (128, 64)
    """Hidden widths of the network over the neurons."""
    deep: tuple[int, ...] = (128, 64)
    """Hidden widths of the network over the vectors; empty: AFN without it."""


class LogarithmicNeurons(nn.Module):
    """``[B, V, E] -> [B, N, E]``.

    Example:
        >>> LogarithmicNeurons(5, 3)(torch.zeros(7, 5, 2)).shape
        torch.Size([7, 3, 2])
    """

    def __init__(
        self, vectors: int, neurons: int, logarithm: Literal["shifted", "plain"] = "shifted"
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier_slices_(torch.empty(neurons, vectors)))
        self.shifted = logarithm == "shifted"

    def forward(self, x_BVE: Tensor) -> Tensor:
        size_BVE = x_BVE.abs() + SMALLEST
        if self.shifted:
            return torch.expm1(self.weight @ torch.log1p(size_BVE)).relu()
        return torch.exp(self.weight @ torch.log(size_BVE))


class AFN(FieldRanker):
    """AFN+ (Cheng et al., AAAI 2020); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> AFN(toy_spec(), AFNConfig(hidden=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "afn"
    config_type = AFNConfig

    def __init__(self, spec: FeatureSpec, config: AFNConfig) -> None:
        self.branches = ("cross", "deep") if config.deep else ("cross",)
        super().__init__(spec, config)
        self.config, width = config, config.embedding.width
        self.neurons = LogarithmicNeurons(sum(self.groups), config.neurons, config.logarithm)
        self.hidden = MLP(config.neurons * width, config.hidden, config.dropout, config.deep_norm)
        self.deep = (
            MLP(self.flat_width, config.deep, config.dropout, config.deep_norm)
            if config.deep
            else None
        )
        self.tower = self.towers(self.hidden.width + (self.deep.width if self.deep else 0), config)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch, without the first order."""
        u = self.hidden(self.neurons(x["cross"]).flatten(1))
        if self.deep is not None:
            u = torch.cat([u, self.deep(x["deep"].flatten(1))], 1)
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share and the request's weights is a candidate's; a logarithm or an
        exponential counts 1.
        """
        c, width = self.config, self.config.embedding.width
        request, candidate = self.input_flops()
        candidate += self.flat_width + 2 * c.neurons * self.flat_width + c.neurons * width
        candidate += mlp_flops(c.neurons * width, c.hidden)
        last = self.hidden.width
        if self.deep is not None:
            candidate, last = candidate + mlp_flops(self.flat_width, c.deep), last + c.deep[-1]
        candidate += len(self.tower) * mlp_flops(last, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
