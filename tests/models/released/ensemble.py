"""AdaEnsemble's experts, routers, mixture and depth selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as fn

from hemix.models.layers.routing.experts import EXPERTS, Expert
from hemix.models.layers.routing.mixture import SparseMixture
from hemix.models.layers.routing.router import (
    CosineRouter,
    balance_loss,
    counted,
    top_gates,
    z_loss,
)
from hemix.models.rankers.ensemble.adaensemble import AdaEnsemble
from tests.models.released.networks import called
from tests.models.released.polynomial import by_d
from tests.models.released_vectors import Case, adapter

KINDS = {
    "gated": "gated",
    "cross": "cross",
    "poly": "polynomial",
    "cnn": "convolution",
    "attn": "attention",
}
"""The release's experts by ours."""
NAMES: dict[str, dict[str, str]] = {
    "gated": {
        "W": "dense.weight",
        "b": "dense.bias",
        "G1": "gate.first.weight",
        "g1": "gate.first.bias",
        "G2": "gate.last.weight",
        "g2": "gate.last.bias",
    },
    "cross": {"W": "dense.weight", "b": "dense.bias"},
    "poly": {"W": "dense.weight"},
    "cnn": {
        "Win": "inner.weight",
        "bin": "inner.bias",
        "Kc": "filters",
        "bc": "bias",
        "Wout": "out.weight",
        "bout": "out.bias",
    },
    "attn": {
        **{
            f"W{k}": f"{name}.weight"
            for k, name in zip("QKV", ("query", "key", "value"), strict=True)
        },
        **{
            f"b{k}": f"{name}.bias"
            for k, name in zip("QKV", ("query", "key", "value"), strict=True)
        },
        "WO": "project.weight",
        "bO": "project.bias",
        "gamma": "scale",
        "beta": "shift",
        "Wout": "out.weight",
        "bout": "out.bias",
    },
}
ROUTER = {
    "Wa": "hidden.weight",
    "ba": "hidden.bias",
    "Wb": "out.weight",
    "bb": "out.bias",
    "E": "choices",
    "T": "temperature",
}


def make_expert(
    kind: str, leaves: Mapping[str, Tensor], prefix: str, hyper: Mapping[str, Any]
) -> Expert:
    """Ours, of the file's shape."""
    more: dict[str, Any] = {}
    if kind == "gated":
        more = {"reduction": hyper["reduction"]}
    elif kind == "cnn":
        span, _, filters = leaves[f"{prefix}Kc"].shape
        more = {"filters": filters, "span": span, "pool": hyper.get("pool", 2)}
    elif kind == "attn":
        epsilon = hyper.get("instance_norm_eps", 1e-3)
        more = {"hidden": len(leaves[f"{prefix}WQ"]), "heads": hyper.get("heads", 4)}
        more |= {"epsilon": epsilon}
    return EXPERTS[KINDS[kind]](hyper["F"], hyper["K"], **more)


def named(leaves: Mapping[str, Tensor], names: Mapping[str, str], prefix: str) -> dict[str, Tensor]:
    """Our parameters' names for the file's arrays; a kernel is ``[width, in, out]`` there."""
    found = {}
    for theirs, ours in names.items():
        value = leaves[prefix + theirs]
        found[ours] = value.permute(2, 1, 0) if theirs == "Kc" else value
    return found


def make_router(
    leaves: Mapping[str, Tensor], prefix: str, hyper: Mapping[str, Any]
) -> CosineRouter:
    """Ours, of the arrays' shape."""
    count, size = leaves[f"{prefix}E"].shape
    width = leaves[f"{prefix}Wa"].shape[1]
    return CosineRouter(width, count, reduction=hyper["reduction"], size=size)


@adapter("AdaEnsemble expert:")
def expert(case: Case) -> None:
    kind = case.module.rpartition(":")[2].strip()
    weights, inputs = case.leaves(NAMES[kind]), case.leaves(["xl", "x0"])
    ours = make_expert(kind, weights, "", case.hyper)
    y = called(ours, named(weights, NAMES[kind], ""), inputs["xl"], inputs["x0"])
    case.equal("y", y)
    case.gradients((y * case.read("G")).sum(), {**weights, **inputs}, by_d)


@adapter("AdaEnsemble router:")
def router(case: Case) -> None:
    weights, hyper = case.leaves(ROUTER), case.hyper
    ours = make_router(weights, "", hyper).eval()
    logits = called(ours, named(weights, ROUTER, ""), case.read("x0"))
    routing = top_gates(logits, hyper["k"])
    case.equal("logits", logits)
    case.equal("gates", routing.gates)
    case.equal("chosen", routing.chosen)
    counts = counted(routing)
    balance = hyper["alpha"] * balance_loss(routing, counts, hyper["prior"] or ())
    own = z_loss(routing, counts)
    case.equal("L_balance", balance)
    case.equal("L_z", own)
    if any(case.arrays[key].any() for key in case.keys(r"dloss_\w+")):
        case.gradients(balance + own, weights, lambda key: f"dloss_{key}")
    else:
        case.leave_out(r"dloss_\w+", "all 0 in this file, which no gradient of a z loss is")
    case.gradients((routing.gates * case.read("G")).sum(), weights, lambda key: f"dgates_{key}")


def mixture_leaves(case: Case, kinds: list[str], prefix: str) -> dict[str, Tensor]:
    """The arrays of a layer's router and experts."""
    keys = [f"{prefix}router.{name}" for name in ROUTER]
    keys += [f"{prefix}{kind}.{name}" for kind in kinds for name in NAMES[kind]]
    return case.leaves(keys)


def mixture_parameters(
    leaves: Mapping[str, Tensor], kinds: list[str], prefix: str
) -> dict[str, Tensor]:
    """Of a :class:`SparseMixture` whose experts are called as ours."""
    router_names = {theirs: f"router.{ours}" for theirs, ours in ROUTER.items()}
    found = named(leaves, router_names, f"{prefix}router.")
    for kind in kinds:
        own = {theirs: f"experts.{KINDS[kind]}.{ours}" for theirs, ours in NAMES[kind].items()}
        found |= named(leaves, own, f"{prefix}{kind}.")
    return found


def make_mixture(
    leaves: Mapping[str, Tensor], kinds: list[str], prefix: str, case: Case, combine: Any
) -> SparseMixture:
    """Ours, of the file's shape."""
    hyper = case.hyper
    return SparseMixture(
        {KINDS[kind]: make_expert(kind, leaves, f"{prefix}{kind}.", hyper) for kind in kinds},
        make_router(leaves, f"{prefix}router.", hyper),
        chosen=hyper.get("k") or hyper["k_experts"],
        combine=combine,
    ).eval()


class First(nn.Module):
    """The first of what a module gives."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.module(*inputs)[0]
        return result


@adapter("AdaEnsemble SparseMoE")
def mixture(case: Case) -> None:
    kinds = case.hyper["experts"]
    leaves, inputs = mixture_leaves(case, kinds, ""), case.leaves(["xl", "x0"])
    parameters = mixture_parameters(leaves, kinds, "")
    for combine in ("sum", "gated"):
        ours = make_mixture(leaves, kinds, "", case, combine)
        inside = {f"module.{name}": value for name, value in parameters.items()}
        y = called(First(ours), inside, inputs["xl"], inputs["x0"])
        case.equal(f"y_{combine}", y)
        case.gradients(
            (y * case.read("G")).sum(),
            {**leaves, **inputs},
            lambda key, combine=combine: f"d{key}_{combine}",
        )
        ours.double().load_state_dict({k: v.detach() for k, v in parameters.items()})
        routing = ours.route(inputs["x0"])
        case.equal("gates", routing.gates)
        case.equal("chosen", routing.chosen)


class Depth(nn.Module):
    """AdaEnsemble's body over given vectors: what :meth:`AdaEnsemble.follow` needs of a ranker."""

    follow = AdaEnsemble.follow
    _drops = False

    def __init__(self, exits: CosineRouter, mixtures: list[SparseMixture], width: int) -> None:
        super().__init__()
        self.exits, self.mixtures, self.open_exits = exits, nn.ModuleList(mixtures), 1
        self.tower = nn.ModuleList(nn.ModuleDict({"y": End(width)}) for _ in mixtures)
        self.depth = len(mixtures)

    @property
    def config(self) -> Depth:
        return self

    @property
    def layers(self) -> int:
        return self.depth

    def forward(self, x0_BD: Tensor) -> tuple[Tensor, Any]:
        course = self.follow(x0_BD)  # type: ignore[misc]
        logit = x0_BD.new_zeros(len(x0_BD))
        for left in course.left:
            logit = logit.index_add(0, left.rows, left.gate * left.logits["y"])
        return logit, course


class End(nn.Linear):
    """A linear unit ``[B, D] -> [B]``."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)[:, 0]


@adapter("AdaEnsemble depth selection")
def depth(case: Case) -> None:
    hyper, x0 = case.hyper, case.leaf("x0")
    kinds = [kind for kind in KINDS if f"0.{kind}.{next(iter(NAMES[kind]))}" in case]
    combine = "sum" if hyper["combine"].startswith("sum") else "gated"
    leaves = case.leaves(f"exit.{name}" for name in ROUTER)
    parameters = named(leaves, {k: f"exits.{v}" for k, v in ROUTER.items()}, "exit.")
    mixtures = []
    for level in range(hyper["layers"]):
        prefix = f"{level}."
        own = mixture_leaves(case, kinds, prefix) | case.leaves(
            [f"{prefix}w_est", f"{prefix}b_est"]
        )
        mixtures.append(make_mixture(own, kinds, prefix, case, combine))
        inside = mixture_parameters(own, kinds, prefix)
        parameters |= {f"mixtures.{level}.{name}": value for name, value in inside.items()}
        parameters[f"tower.{level}.y.weight"] = own[f"{prefix}w_est"]
        parameters[f"tower.{level}.y.bias"] = own[f"{prefix}b_est"]
        leaves |= own
    exits = make_router(leaves, "exit.", hyper)
    ours = Depth(exits, mixtures, x0.shape[1]).double().eval()
    assert {name for name, _ in ours.named_parameters()} == set(parameters)
    logit, course = functional_call(ours, parameters, (x0,))
    loss = fn.binary_cross_entropy_with_logits(logit, case.read("y").double())
    case.equal("logit", logit)
    case.equal("loss", loss)
    case.equal("exit_gates", course.exits.gates)
    case.equal("exit", course.exits.chosen.long().argmax(1))
    case.gradients(loss, {"x0": x0, **leaves}, by_d)
    # The file has the gates of all rows; ours has those that got so far.
    rows = torch.arange(len(x0))
    for level, routing in enumerate(course.layers):
        theirs = case.read(f"{level}.gates")
        whole = theirs.clone()
        whole[rows] = routing.gates.detach()
        case.equal(f"{level}.gates", whole)
        assert len(rows) == int((course.exits.chosen.long().argmax(1) >= level).sum())
        rows = rows[course.exits.chosen.long().argmax(1)[rows] > level]


@adapter("top-k softmax")
def gates(case: Case) -> None:
    logits = case.read("logits")
    for key in case.keys(r"topk_\d+"):
        case.equal(key, top_gates(logits, int(key.rpartition("_")[2])).gates)
    case.leave_out(
        r"gumbel.*|threshold.*|t|smoothstep.*|annealing.*|im_.*",
        "parts of the release's library that its ranker does not use; not built",
    )


@adapter("DSelect-k gate", "static fusion of n layer outputs")
def not_built(case: Case) -> None:
    case.leave_out(".*", "a part of the release's library that its ranker does not use; not built")
