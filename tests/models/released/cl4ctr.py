"""CL4CTR's terms, held to its release (torch, float64)."""

from __future__ import annotations

from functools import partial

import torch
from torch.func import functional_call

from hemix.models.layers.interactions.pairs import FactorizationMachine
from hemix.models.objective_config import Mask
from hemix.models.training.objectives.cl4ctr import (
    RELEASED_SLACK,
    Views,
    alignment,
    cosines,
    mask,
    table_alignment,
    uniformity,
)
from tests.models.released_vectors import Case, adapter

KINDS: tuple[Mask, ...] = ("random", "feature", "dimension")
LAYER = {
    "qkv.weight": "W_in",
    "qkv.bias": "b_in",
    "out.weight": "W_o",
    "out.bias": "b_o",
    "up.weight": "W_1",
    "up.bias": "b_1",
    "down.weight": "W_2",
    "down.bias": "b_2",
    "first.weight": "n1_gamma",
    "first.bias": "n1_beta",
    "second.weight": "n2_gamma",
    "second.bias": "n2_beta",
}


@adapter("FM + CL4CTR")
def cl4ctr(case: Case) -> None:
    shares = case.leaves(["table", "w", "b", *case.keys(r"(enc\d|proj\d)_\w+")])
    table, offsets, x = shares["table"], case.read("offsets"), case.read("x")
    rows = x + offsets
    e_BFd = table[rows]
    batch, fields, width = e_BFd.shape
    pairs = FactorizationMachine(1, width)(e_BFd)[:, 0]
    case.equal("out", pairs + shares["b"] + shares["w"][rows].sum((1, 2)))

    sizes = [*offsets.diff().tolist(), len(table) - int(offsets[-1])]
    parts = list(torch.split(table, sizes))
    others = [torch.cat(parts[:f] + parts[f + 1 :]) for f in range(fields)]
    count = sum(n * (len(table) - n) for n in sizes)
    found = {
        "L_ali": alignment(e_BFd, e_BFd.mean(0).detach(), batch),
        "L_uni": uniformity(e_BFd, RELEASED_SLACK),
        "L_ali_all": table_alignment(parts),
        "L_uni_all": torch.stack(
            [cosines(a, b, RELEASED_SLACK).sum() for a, b in zip(parts, others, strict=True)]
        ).sum()
        / count,
    }
    views = Views(fields, width, dropout=0.0).double()
    weights = {
        f"encoder.{layer}.{ours}": shares[f"enc{layer}_{theirs}"]
        for layer in range(3)
        for ours, theirs in LAYER.items()
    }
    for view in range(2):
        weights[f"project.{view}.weight"] = shares[f"proj{view + 1}_W"]
        weights[f"project.{view}.bias"] = shares[f"proj{view + 1}_b"]
    kept = 1 - case.hyper["p"]
    masked = tuple(e_BFd * case.read(f"mask_{view}") / kept for view in (1, 2))
    found["L_cl"] = functional_call(views, weights, masked)
    # The combination that holds alpha is the shipped one.
    found["L_aux_alpha0"] = case.hyper["beta"] * (found["L_ali"] + found["L_uni"])
    for name, value in found.items():
        case.equal(name, value)
        case.gradients(value, shares, partial("grad_{1}__{0}".format, name))
    case.leave_out(r".*_shipped", "the release flattens fields before rows, which mixes rows")
    for name in KINDS:
        theirs, ours = case.read(f"family_{name}"), mask(name, e_BFd, 0.4)
        for axis in (1, 2):
            constant = bool((theirs == theirs.select(axis, 0).unsqueeze(axis)).all())
            assert constant == (ours.shape[axis] == 1), (name, axis)
