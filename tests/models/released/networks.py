"""What several adapters need: networks whose batch norm is folded into their linear layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tests.models.released_vectors import Case

TRAINED_NORM = "batch norm by the statistics of a batch: there is none here"


def folded(leaves: Mapping[str, Tensor], fixed: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    """Weight and bias of every hidden layer of ``prefix``, its evaluation-mode batch norm folded in.

    Differentiable, so that gradients reach weight, bias, gamma and beta.
    """
    found, layer = [], 0
    while f"{prefix}W_{layer}" in leaves:
        weight, bias = leaves[f"{prefix}W_{layer}"], leaves[f"{prefix}b_{layer}"]
        if f"{prefix}bn_gamma_{layer}" in leaves:
            spread = torch.sqrt(fixed[f"{prefix}bn_var_{layer}"] + 1e-5)
            scale = leaves[f"{prefix}bn_gamma_{layer}"] / spread
            weight = scale[:, None] * weight
            bias = (bias - fixed[f"{prefix}bn_mean_{layer}"]) * scale
            bias = bias + leaves[f"{prefix}bn_beta_{layer}"]
        found += [weight, bias]
        layer += 1
    return found


def mlp_leaves(case: Case, prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The trained arrays of a network, and its running statistics."""
    names = r"(W|b|bn_gamma|bn_beta)_(\d+|out)|slope_\d+"
    fixed = {key: case.read(key) for key in case.keys(prefix + r"bn_(mean|var)_\d+")}
    return case.leaves(case.keys(prefix + f"({names})")), fixed


def mlp_parameters(
    leaves: Mapping[str, Tensor], fixed: Mapping[str, Tensor], prefix: str
) -> dict[str, Tensor]:
    """Parameters of an :class:`hemix.models.layers.dense.MLP` by name: three modules a layer."""
    parts = folded(leaves, fixed, prefix)
    return {
        f"net.{3 * (index // 2)}.{'bias' if index % 2 else 'weight'}": part
        for index, part in enumerate(parts)
    }


def called(module: nn.Module, parameters: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
    """``module(*inputs)`` with ``parameters`` in the place of its own, all of them."""
    own = {name for name, _ in module.named_parameters()}
    assert own == set(parameters), own ^ set(parameters)
    result = functional_call(module.double(), dict(parameters), inputs)
    assert isinstance(result, Tensor)
    return result


def embedded(tables: list[Tensor], ids_BF: Tensor) -> Tensor:
    """Rows of one table a field, side by side: ``[B, D]``."""
    return torch.cat([table[ids_BF[:, index]] for index, table in enumerate(tables)], 1)
