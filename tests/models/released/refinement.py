"""Feature refinement, held to the RefineCTR and FRNet releases (torch, float64).

Their batch norms stand where ours has ``norm``: they are put in its place here, so that both the
evaluation (running statistics) and the training form (a batch's) can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from hemix.models.layers.refinement.base import Refinement, RefinementConfig, RefinementMLP
from hemix.models.layers.refinement.named import RefinementName, refinement
from tests.models.released_vectors import Case, adapter

Weights = Mapping[str, str]
"""Our parameter -> the file's key."""
LINEAR = {"query": "Q", "key": "K", "value": "V"}


def heads(ours: str, theirs: str = "") -> dict[str, str]:
    """Weights and biases of an attention's projections."""
    found: dict[str, str] = {}
    for name, letter in LINEAR.items():
        found[f"{ours}{name}.weight"] = f"{theirs}W_{letter}"
        found[f"{ours}{name}.bias"] = f"{theirs}b_{letter}"
    return found


def mlp(case: Case, ours: str, theirs: str) -> dict[str, str]:
    """Weights of an MLP with batch norms (and PReLU slopes) as its norms."""
    found: dict[str, str] = {}
    for index in range(len(case.keys(rf"{theirs}_W_\d+"))):
        found |= {
            f"{ours}.linears.{index}.weight": f"{theirs}_W_{index}",
            f"{ours}.linears.{index}.bias": f"{theirs}_b_{index}",
            f"{ours}.norms.{index}.weight": f"{theirs}_bn_gamma_{index}",
            f"{ours}.norms.{index}.bias": f"{theirs}_bn_beta_{index}",
            f"{ours}.norms.{index}.running_mean": f"{theirs}_bn_mean_{index}",
            f"{ours}.norms.{index}.running_var": f"{theirs}_bn_var_{index}",
        }
        if f"{theirs}_slope_{index}" in case:
            found[f"{ours}.activations.{index}.weight"] = f"{theirs}_slope_{index}"
    return found


def unit(case: Case, ours: str, theirs: str) -> dict[str, str]:
    """An IEU of FRNet."""
    found = heads(f"{ours}.attention.", f"{theirs}_") | mlp(case, f"{ours}.mlp", f"{theirs}_mlp")
    found |= {
        f"{ours}.project.weight": f"{theirs}_W_P",
        f"{ours}.project.bias": f"{theirs}_b_P",
        f"{ours}.out.weight": f"{theirs}_U",
        f"{ours}.out.bias": f"{theirs}_u",
    }
    if f"{theirs}_slope_O" in case:
        found[f"{ours}.activation.weight"] = f"{theirs}_slope_O"
    return found


def level(case: Case, ours: str, theirs: str) -> dict[str, str]:
    """An FLU of GFRL."""
    return mlp(case, f"{ours}.mlp", f"{theirs}_mlp") | {
        f"{ours}.weight": f"{theirs}_W",
        f"{ours}.bias": f"{theirs}_b",
        f"{ours}.out.weight": f"{theirs}_U",
        f"{ours}.out.bias": f"{theirs}_u",
    }


def weights_of(case: Case, name: RefinementName) -> Weights:
    """Where each of our parameters stands in the file."""
    tce = {"aggregate": "A", "project": "P"}
    if name == "fen":
        return mlp(case, "mlp", "mlp")
    if name == "dfen":
        attention = heads("attention.") | {"residual.weight": "W_res", "residual.bias": "b_res"}
        return mlp(case, "mlp", "mlp") | attention | {"bit.weight": "V_b", "vector.weight": "V_v"}
    if name == "selfatt":
        return heads("attention.") | {"out.weight": "W_o"}
    if name == "gfrl":
        return level(case, "first", "FLU1") | level(case, "second", "FLU2")
    if name in ("frnet_v", "frnet_b"):
        return unit(case, "complement", "G") | unit(case, "gate", "W")
    plain: dict[str, Weights] = {
        "senet": {"first.weight": "W1", "first.bias": "b1", "second.weight": "W2"}
        | {"second.bias": "b2"},
        "fwn": {"weight": "W", "bias": "b"},
        "drm": heads(""),
        "vgate": {"weight": "w"},
        "bgate": {"weight": "W"},
        "tce": tce,
        "pffn": {f"embedding.{ours}": key for ours, key in tce.items()}
        | {"weight": "W", "norm.weight": "ln_gamma", "norm.bias": "ln_beta"},
    }
    return plain[name]


def config_of(case: Case, name: RefinementName, **fields: Any) -> RefinementConfig:
    """Our configuration of the file's setting."""
    hyper = case.hyper
    chosen: dict[str, Any] = {"norm": "none", "dropout": 0.0}
    if name in ("fen", "dfen", "gfrl"):
        chosen["hidden"] = tuple(hyper["mlp"])
    if name in ("frnet_v", "frnet_b"):
        chosen |= {"hidden": (hyper["m"],) * hyper["layers"], "head_width": hyper["a"]}
        chosen["context"] = "prelu" if "G_slope_O" in case else "relu"
    if name in ("selfatt", "dfen"):
        chosen |= {"heads": hyper["heads"], "head_width": hyper["k"]}
    if name in ("tce", "pffn"):
        chosen |= {"projection": hyper["p"], "shared_aggregation": case.arrays["A"].shape[0] == 1}
    if name == "pffn":
        chosen["blocks"] = hyper["blocks"]
    if name == "senet":
        chosen |= {"reduction": hyper["r"], "squeeze": "max"}
    if name == "fen":
        chosen["softmax"] = "released"
    return RefinementConfig(**{**chosen, **fields})


def made(case: Case, name: RefinementName, **fields: Any) -> Refinement:
    """Ours, in float64, with batch norms."""
    _, count, width = case.arrays["E"].shape
    return normed(refinement(name, count, width, config_of(case, name, **fields)))


def normed(module: Refinement) -> Refinement:
    """The module in float64 with a batch norm as every MLP's norm."""
    for one in module.modules():
        if isinstance(one, RefinementMLP):
            one.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in one.widths)
    return module.double()


def values_of(
    module: Refinement, weights: Weights, leaves: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Parameters and buffers by our names, from the file's leaves, in our shapes."""
    shapes = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {ours: leaves[key].reshape(shapes[ours].shape) for ours, key in weights.items()}


@adapter("FR ")
def refined(case: Case) -> None:
    name = _name(case.module)
    weights = weights_of(case, name)
    buffers = {k for k in weights.values() if re.search(r"_bn_(mean|var)_\d+$", k)}
    leaves = case.leaves(["E", *sorted(set(weights.values()) - buffers)])
    inputs = leaves | {key: case.read(key) for key in buffers}
    weigh = case.read("R")
    mixed = name in ("selfatt", "dfen") and case.hyper["heads"] > 1
    forms: list[tuple[str, dict[str, Any], bool]] = [("", {}, False), ("_train", {}, True)]
    if name == "senet":
        forms.append(("_mean", {"squeeze": "mean"}, False))
    if name == "selfatt":
        forms.append(("_fixed", {}, False))
    if name == "dfen":
        released = {"attention_scale": "released"}
        forms = [("", released, False), ("_train", released, True), ("_fixed", released, False)]
        forms.append(("_fixed_scaled", {}, False))
    for suffix, fields, train in forms:
        if f"out{suffix}" not in case:
            continue
        if mixed and suffix in ("", "_train"):
            case.leave_out(rf"out{suffix}|weights", "the release mixes heads with fields")
            case.leave_out(
                rf"grad_({'|'.join(leaves)}){suffix}", "the release mixes heads with fields"
            )
            continue
        module = made(case, name, **fields).train(train)
        given = values_of(module, weights, inputs)
        if train:  # a batch's statistics are written into the running ones
            given = {k: v.clone() if "running" in k else v for k, v in given.items()}
        out, looked = functional_call(
            Both(module), {f"module.{k}": v for k, v in given.items()}, leaves["E"]
        )
        case.equal(f"out{suffix}", out)
        case.gradients((out * weigh).sum(), leaves, partial("grad_{1}{0}".format, suffix))
        if suffix == "" and "weights" in case:
            case.equal("weights", looked)


class Both(nn.Module):
    """``refine`` as a module's call."""

    def __init__(self, module: Refinement) -> None:
        super().__init__()
        self.module = module

    def forward(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        return self.module.refine(e_BFd)


def _name(module: str) -> RefinementName:
    plain = module.removeprefix("FR ")
    return re.sub(r"_(prelu|relu)$", "", plain)  # type: ignore[return-value]
