"""Refinements inside FM, DeepFM and DCN V2, shared by the branches or one each (RefineCTR, FRNet)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hemix.models.layers.dense import MLP, CrossLayer
from hemix.models.layers.interactions.pairs import FactorizationMachine
from hemix.models.layers.refinement.base import RefinementConfig
from hemix.models.layers.refinement.named import RefinementName, refinement
from tests.models.released.networks import TRAINED_NORM, called, mlp_leaves, mlp_parameters
from tests.models.released.refinement import Both, normed, unit
from tests.models.released_vectors import Case, adapter

OURS: dict[str, dict[str, str]] = {
    "vgate": {"weight": "w"},
    "bgate": {"weight": "W"},
    "senet": {"first.weight": "W1", "first.bias": "b1", "second.weight": "W2"}
    | {"second.bias": "b2"},
}


def pairs(e_BFd: Tensor) -> Tensor:
    """A factorisation machine's second-order term ``[B]``."""
    out: Tensor = FactorizationMachine(1, e_BFd.shape[2])(e_BFd)
    return out[:, 0]


def rows_of(case: Case) -> Tensor:
    return case.read("x") + case.read("offsets")


@adapter("FM + FRNet-B")
def frnet(case: Case) -> None:
    weights = unit(case, "complement", "G") | unit(case, "gate", "W")
    buffers = {key for key in weights.values() if "_bn_mean" in key or "_bn_var" in key}
    leaves = case.leaves(["table", "w", "b", *sorted(set(weights.values()) - buffers)])
    given = leaves | {key: case.read(key) for key in buffers}
    h, rows = case.hyper, rows_of(case)
    hidden = (h["m"],) * h["layers"]
    options = RefinementConfig(
        norm="none", dropout=0, hidden=hidden, head_width=h["a"], context="relu"
    )
    for suffix in ("", "_train"):
        module = normed(refinement("frnet_b", h["F"], h["d"], options)).train(bool(suffix))
        values = {f"module.{ours}": given[key].clone() for ours, key in weights.items()}
        e_BFd, _ = functional_call(Both(module), values, leaves["table"][rows])
        out = pairs(e_BFd) + leaves["b"] + leaves["w"][rows].sum((1, 2))
        case.equal(f"out{suffix}", out)
        case.gradients((out * case.read("R")).sum(), leaves, partial("grad_{1}{0}".format, suffix))


@adapter("deepfm_", "dcnv2_separate")
def two_branches(case: Case) -> None:
    names: list[RefinementName] = case.hyper["modules"]
    ends = [key for key in ("w_lr", "b_lr", "W_out", "b_out") if key in case]
    leaves = case.leaves(["table", *ends, *case.keys(r"FR\d_\w+|Wc_\d+|b_\d+")])
    deep, fixed = mlp_leaves(case, "mlp_")
    rows = rows_of(case)
    e_BFd = leaves["table"][rows]
    refined = []
    for number, name in enumerate(names, 1):
        options = RefinementConfig(squeeze="max", reduction=case.hyper.get("r", 2))
        module: nn.Module = refinement(name, *e_BFd.shape[1:], options).double()
        shapes = dict(module.named_parameters())
        values = {
            ours: leaves[f"FR{number}_{key}"].reshape(shapes[ours].shape)
            for ours, key in OURS[name].items()
        }
        refined.append(functional_call(module, values, e_BFd))
    cross_BFd, deep_BFd = refined[0], refined[-1]
    inner = {key: value for key, value in deep.items() if not key.endswith("_out")}
    widths = [len(inner[key]) for key in case.keys(r"mlp_W_\d+")]
    flat = deep_BFd.flatten(1)
    u = called(MLP(flat.shape[1], widths).eval(), mlp_parameters(inner, fixed, "mlp_"), flat)
    if "Wc_0" in case:
        x0_BD = x_BD = cross_BFd.flatten(1)
        for layer in range(len(case.keys(r"Wc_\d+"))):
            cross = CrossLayer(x0_BD.shape[1]).double()
            values = {"linear.weight": leaves[f"Wc_{layer}"], "linear.bias": leaves[f"b_{layer}"]}
            x_BD = functional_call(cross, values, (x0_BD, x_BD))
        out = torch.cat([x_BD, u], 1) @ leaves["W_out"][0] + leaves["b_out"]
    else:
        first = leaves["b_lr"] + leaves["w_lr"][rows].sum((1, 2))
        out = first + pairs(cross_BFd) + u @ deep["mlp_W_out"][0] + deep["mlp_b_out"]
    case.equal("out", out)
    case.gradients((out * case.read("R")).sum(), {**leaves, **deep})
    case.leave_out(".*_train", TRAINED_NORM)
