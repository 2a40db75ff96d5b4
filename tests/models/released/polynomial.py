"""PIN, xDeepInt's head and whole, and the gates that DynInt takes over."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as fn

from hemix.models.layers.interactions.dynamic import InstanceNet
from hemix.models.layers.interactions.polynomial import PolynomialInteractions, unstacked
from hemix.models.layers.routing.experts import Gated
from hemix.models.rankers.polynomial.xdeepint import VectorHead
from tests.models.released.networks import called
from tests.models.released_vectors import Case, adapter


def by_d(key: str) -> str:
    """How the gradient of a key is called."""
    return f"d{key}"


def network(case: Case, x0: Tensor, weights: list[Tensor], subspaces: int) -> list[Tensor]:
    """X_0 to X_L, stacked."""
    activation = {"linear": "none"}.get(
        case.hyper.get("activation", "linear"), case.hyper.get("activation")
    )
    pin = PolynomialInteractions(
        x0.shape[1],
        len(weights),
        subspaces=subspaces,
        residual=case.hyper.get("residual", True),
        activation=activation,
    ).double()
    parameters = {f"weights.{index}": weight for index, weight in enumerate(weights)}
    assert {name for name, _ in pin.named_parameters()} == set(parameters)

    class Layers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pin = pin

        def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
            return pin.layers(x), pin(x)

    layers, out = functional_call(
        Layers(), {f"pin.{name}": value for name, value in parameters.items()}, (x0,)
    )
    torch.testing.assert_close(
        out[:, -x0.shape[1] :], unstacked(layers[-1], subspaces)
    )  # what is compared is what the layer gives
    found: list[Tensor] = layers
    return found


@adapter("PIN")
def pin(case: Case) -> None:
    x0, weights = case.leaf("X0"), case.leaves(case.keys(r"W_\d+"))
    subspaces = case.hyper["h"]
    layers = network(case, x0, list(weights.values()), subspaces)
    if case.hyper["residual"]:
        for level in range(1, len(layers)):
            case.equal(f"X_{level}", unstacked(layers[level], subspaces))
        out = unstacked(layers[-1], subspaces)
    else:
        # The release un-stacks the outputs of all layers at once, ours each by itself.
        out = unstacked(torch.cat(layers, 1), subspaces)
        case.equal("Y", out)
    case.gradients((out * case.read("G")).sum(), {"X0": x0, **weights}, by_d)


@adapter("multi-head PIN")
def multihead(case: Case) -> None:
    x0, project = case.leaf("X0"), case.read("P")
    heads = []
    parts = (x0 @ project).chunk(case.hyper["heads"], 2)
    for head, (part, subspaces) in enumerate(zip(parts, case.hyper["h"], strict=True)):
        weights = [case.read(key) for key in case.keys(rf"W_{head}_\d+")]
        heads.append(unstacked(network(case, part, weights, subspaces)[-1], subspaces))
    case.equal("Y", torch.cat(heads, 1))


def head(case: Case, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The logit of the linear head over ``x [B, V, E]``."""
    leaves = case.leaves(["w_out", "b"])
    parameters = {"weight": leaves["w_out"][None], "bias": leaves["b"]}
    return called(VectorHead(x.shape[1], 1), parameters, x)[:, 0], leaves


def summed_loss(case: Case, logit: Tensor) -> Tensor:
    """The binary cross-entropy, a sum over rows."""
    loss = fn.binary_cross_entropy_with_logits(logit, case.read("y").double(), reduction="sum")
    case.equal("logit", logit)
    case.equal("loss_sum", loss)
    return loss


@adapter("output head")
def output_head(case: Case) -> None:
    x = case.leaf("X_L")
    logit, leaves = head(case, x)
    case.equal("p", logit.sigmoid())
    case.gradients(summed_loss(case, logit), {"X_L": x, **leaves}, by_d)


@adapter("xDeepInt end to end")
def whole(case: Case) -> None:
    x0, weights = case.leaf("X0"), case.leaves(case.keys(r"W_\d+"))
    last = network(case, x0, list(weights.values()), case.hyper["h"])[-1]
    logit, leaves = head(case, unstacked(last, case.hyper["h"]))
    case.gradients(summed_loss(case, logit), {"X0": x0, **weights, **leaves}, by_d)


def gate_parameters(leaves: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Of an :class:`InstanceNet`."""
    return {
        "first.weight": leaves[f"{prefix}G1"],
        "first.bias": leaves[f"{prefix}g1"],
        "last.weight": leaves[f"{prefix}G2"],
        "last.bias": leaves[f"{prefix}g2"],
    }


@adapter("instance-aware gate over fields")
def gate_over_fields(case: Case) -> None:
    leaves = case.leaves(["X", "ctx", "W", "b", "G1", "g1", "G2", "g2"])
    net = InstanceNet(leaves["G1"].shape[1], len(leaves["G2"]), reduction=case.hyper["reduction"])
    raw = called(net, gate_parameters(leaves), leaves["ctx"].flatten(1))
    gate_BV = 2 * torch.sigmoid(raw)
    case.equal("a", gate_BV)
    out = fn.relu(leaves["W"] @ leaves["X"] + leaves["b"][:, None]) * gate_BV[:, :, None]
    case.equal("y", out)
    case.gradients((out * case.read("G")).sum(), leaves, by_d)


@adapter("two gated dense layers")
def gated_network(case: Case) -> None:
    x0 = case.leaf("x0")
    y, leaves = x0, {}
    for layer in range(len(case.keys(r"\d+\.W"))):
        own = case.leaves(case.keys(rf"{layer}\.\w+\d?"))
        gate = gate_parameters(own, f"{layer}.")
        parameters = {f"gate.{name}": value for name, value in gate.items()}
        parameters |= {"dense.weight": own[f"{layer}.W"], "dense.bias": own[f"{layer}.b"]}
        expert = Gated(1, x0.shape[1], reduction=case.hyper["reduction"])
        y = called(expert, parameters, y, x0.detach())
        leaves |= own
    case.equal("y", y)
    case.gradients((y * case.read("G")).sum(), {"x0": x0, **leaves}, by_d)
