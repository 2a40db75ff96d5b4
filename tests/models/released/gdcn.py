"""GCN, GDCN-S and GDCN-P."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from hemix.models.layers.dense import MLP
from hemix.models.rankers.crossing.gdcn import GatedCrosses
from tests.models.released.networks import (
    TRAINED_NORM,
    called,
    embedded,
    mlp_leaves,
    mlp_parameters,
)
from tests.models.released_vectors import Case, adapter


@adapter("GCN", "GDCN-S", "GDCN-P")
def gdcn(case: Case) -> None:
    tables = case.leaves(case.keys(r"table_\d+"))
    crosses = case.leaves(case.keys(r"(Wc|Wg|b)_\d+"))
    ends = case.leaves(case.keys(r"W_out|b_out"))
    deep, fixed = mlp_leaves(case, "mlp_")
    c0_BD = embedded(list(tables.values()), case.read("x"))
    layers, width = len(case.keys(r"Wc_\d+")), c0_BD.shape[1]
    names = {"Wc": "linear.weight", "b": "linear.bias", "Wg": "gate.weight"}
    parameters = {
        f"layers.{layer}.{name}": crosses[f"{key}_{layer}"]
        for layer in range(layers)
        for key, name in names.items()
    }
    stack = GatedCrosses(width, layers).double()
    last_BD = called(stack, parameters, c0_BD)
    case.equal("c_0", c0_BD)
    case.equal(f"c_{layers}", last_BD)
    with torch.no_grad():
        stack.load_state_dict({name: value.detach() for name, value in parameters.items()})
        for layer, gate in enumerate(stack.gates(c0_BD)):
            case.equal(f"g_{layer}", gate)

    def network(x: Tensor) -> Tensor:
        inner = {key: value for key, value in deep.items() if not key.endswith("_out")}
        widths = [len(inner[key]) for key in case.keys(r"mlp_W_\d+")]
        return called(MLP(width, widths).eval(), mlp_parameters(inner, fixed, "mlp_"), x)

    if case.module == "GDCN-S":
        u, end = network(last_BD), (deep["mlp_W_out"], deep["mlp_b_out"])
    else:
        u = torch.cat([last_BD, network(c0_BD)], 1) if case.module == "GDCN-P" else last_BD
        end = (ends["W_out"], ends["b_out"])
    out_B = functional_call(
        torch.nn.Linear(u.shape[1], 1).double(), {"weight": end[0], "bias": end[1]}, (u,)
    )[:, 0]
    case.equal("out", out_B)
    case.gradients((out_B * case.read("R")).sum(), {**tables, **crosses, **ends, **deep})
    case.leave_out(".*_train", TRAINED_NORM)
