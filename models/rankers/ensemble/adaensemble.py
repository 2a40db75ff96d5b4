"""AdaEnsemble: layers of sparse mixtures of five kinds of network, and an exit of its own a row.

Paper: Yan and Li, "AdaEnsemble: Learning Adaptively Sparse Structured Ensemble Network for
Click-Through Rate Prediction", AdKDD 2023, arXiv 2301.08353; the text was closed to us, the formulas
are its code's (yanyachen/AdaEnsemble). With x_0 the vectors of a row side by side:

    x_{d+1} = mixture_d(x_d, x_0) + x_d                     d = 0 .. L-1, k of five experts a row
    exit    = the largest of a router's logits of x_0       one a row
    logit_t = tower_{exit, t}(x_{exit+1})

A row leaves at its exit and is not computed further, in training and when serving. Not taken from
the release, where no task's loss reaches any router: experts are weighed by their gates
(``combine=gated``), and the z loss has its weight. INFERRED is how exits learn, a gate over one exit
having no gradient: at first all exits are open to a row, then fewer and fewer, at last the one that
serving takes (``anneal``). While several are,

    logit_t = sum_d p_d logit_td     loss + sum_d p_d BCE_d, a mean over rows

with p the softmax over the open ones. Balance and z losses of all routers are added in training
(:mod:`hemix.models.layers.routing.router`).

Axes: B batch, V vectors, E width, D = V E, L layers, N experts, T tasks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import mlp_flops
from hemix.models.layers.routing.experts import EXPERTS
from hemix.models.layers.routing.mixture import SparseMixture
from hemix.models.layers.routing.router import (
    CosineRouter,
    Routing,
    balance_loss,
    counted,
    top_gates,
    z_loss,
)
from hemix.models.pictures import Look, Picture
from hemix.models.rankers.ensemble.config import AdaEnsembleConfig
from hemix.models.rankers.ensemble.pictures import route_pictures
from hemix.models.rankers.fields import FieldRanker
from hemix.spec import FeatureSpec

REMEMBERED = 0.99
"""Decay a step of the shares that training measures."""


@dataclass(frozen=True, kw_only=True)
class Left:
    """What left at one exit: ``rows [R]``, their gate ``[R]`` and ``logits [R]`` per task."""

    rows: Tensor
    gate: Tensor
    logits: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Course:
    """One forward pass: how rows were routed, layer by layer and to the exits, and what left."""

    layers: tuple[Routing, ...]
    exits: Routing
    left: tuple[Left, ...]


class AdaEnsemble(FieldRanker):
    """AdaEnsemble (Yan and Li, AdKDD 2023); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> AdaEnsemble(toy_spec(), AdaEnsembleConfig())(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "adaensemble"
    config_type = AdaEnsembleConfig
    expert_share: Tensor
    exit_share: Tensor

    def __init__(self, spec: FeatureSpec, config: AdaEnsembleConfig) -> None:
        super().__init__(spec, config)
        self.config, flat = config, self.flat_width
        vectors, width = sum(self.groups), config.embedding.width
        self.mixtures = nn.ModuleList(
            SparseMixture(
                {name: EXPERTS[name](vectors, width) for name in config.experts},
                CosineRouter(flat, len(config.experts), noise=config.noise),
                chosen=config.chosen,
                combine=config.combine,
            )
            for _ in range(config.layers)
        )
        self.exits = CosineRouter(flat, config.layers, noise=config.noise)
        self.dropout = Dropout(config.dropout)
        self.tower = nn.ModuleList(self.towers(flat, config) for _ in range(config.layers))
        self.open_exits = config.layers
        self.course: Course | None = None
        # What training measured of its routing; the wished shares before.
        count = len(config.experts)
        shares = torch.tensor(config.expert_shares or [1 / count] * count)
        chosen = min(config.chosen, count)
        self.register_buffer(
            "expert_share", (chosen * shares).clamp(max=1).repeat(config.layers, 1)
        )
        exits = config.exit_shares or [1 / config.layers] * config.layers
        self.register_buffer("exit_share", torch.tensor(exits))

    def set_progress(self, share: float) -> None:
        """Close exits: from all of them to one over the first ``anneal`` of training."""
        anneal, most = self.config.anneal, self.config.layers
        rest = 1 - share / anneal if share < anneal else 0.0
        self.open_exits = max(1, math.ceil(rest * most))

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task; rows are computed up to their exit."""
        course = self.follow(x_BVE.flatten(1))
        self.course = course if self.training else None
        found = {}
        for task in self.spec.tasks:
            total = x_BVE.new_zeros(len(x_BVE))
            for left in course.left:
                part = left.gate * left.logits[task.name]
                total = total.index_add(0, left.rows, part.to(total.dtype))
            found[task.name] = total
        return found

    def follow(self, x0_BD: Tensor) -> Course:
        """Rows through the layers, each to the deepest exit that is open to it."""
        depth = self.config.layers
        exits = top_gates(self.exits(x0_BD.detach()), self.open_exits if self.training else 1)
        levels = torch.arange(depth, device=x0_BD.device)
        deepest = torch.where(exits.chosen, levels, -1).amax(1)
        rows, x_RD = torch.arange(len(x0_BD), device=x0_BD.device), x0_BD
        layers, left = [], []
        for level, mixture in enumerate(self.mixtures):
            assert isinstance(mixture, SparseMixture)
            # Noise and dropout are drawn for the whole batch: parts of it get what it would get.
            routing = mixture.route(x0_BD) if self.training else mixture.route(x0_BD[rows])
            kept = self.dropout(torch.ones_like(x0_BD)) if self._drops else None
            if self.training:
                routing = _of(routing, rows)
            y_RD, routing = mixture(x_RD, x0_BD[rows], routing)
            x_RD = x_RD + (y_RD if kept is None else y_RD * kept[rows])
            layers.append(routing)
            out = exits.chosen[rows, level].nonzero()[:, 0]
            towers = self.tower[level]
            assert isinstance(towers, nn.ModuleDict)
            left.append(
                Left(
                    rows=rows[out],
                    gate=exits.gates[rows[out], level],
                    logits={task: tower(x_RD[out]) for task, tower in towers.items()},
                )
            )
            on = (deepest[rows] > level).nonzero()[:, 0]
            rows, x_RD = rows[on], x_RD[on]
        return Course(layers=tuple(layers), exits=exits, left=tuple(left))

    @property
    def _drops(self) -> bool:
        return self.training and self.dropout.p > 0

    def auxiliary_loss(self, batch: Batch) -> Tensor | None:
        """Balance and z losses of every router, and each open exit's own loss by its share."""
        if self.course is None:
            return None
        c, course, self.course = self.config, self.course, None
        routings = [(one, c.expert_shares) for one in course.layers]
        # Shares of exits are those that serving would take, however many are open.
        exits = top_gates(course.exits.logits, 1)
        total, measured = course.exits.logits.new_zeros(()), []
        for routing, shares in (*routings, (exits, c.exit_shares)):
            counts = counted(routing)
            measured.append(counts.share)
            total = total + c.balance * balance_loss(routing, counts, shares)
            total = total + c.z * z_loss(routing, counts)
        self._remember(measured)
        if self.open_exits > 1:
            total = total + self._exit_losses(course, batch)
        return total

    def _exit_losses(self, course: Course, batch: Batch) -> Tensor:
        """``sum_d p_d BCE_d`` over tasks, a mean over rows; a task within another counts where that
        one happened.
        """
        parts = []
        for left in course.left:
            for task, logit in left.logits.items():
                own = fn.binary_cross_entropy_with_logits(
                    logit.float(), batch.labels[task][left.rows].float(), reduction="none"
                )
                parent = self.outputs.given.get(task)
                seen = 1.0 if parent is None else batch.labels[parent][left.rows]
                parts.append((left.gate * own * seen).sum())
        return torch.stack(parts).sum() / max(1, len(course.exits.logits))

    @torch.no_grad()
    def _remember(self, shares: Sequence[Tensor]) -> None:
        """Move the measured shares towards this batch's; a layer that no row reached stays."""
        *layers, exits = (share.to(self.exit_share.dtype) for share in shares)
        for level, share in enumerate(layers):
            if share.any():
                self.expert_share[level].lerp_(share, 1 - REMEMBERED)
        self.exit_share.lerp_(exits, 1 - REMEMBERED)

    @torch.no_grad()
    def course_of(self, batch: Batch) -> Course:
        """How whole rows go as served."""
        training = self.training
        self.eval()
        state = self.encode_request(batch)
        x_BVE = self.inputs(self.row_vectors(state.vectors, batch))[self.branches[0]]
        course = self.follow(x_BVE.flatten(1))
        self.train(training)
        return course

    def pictures(self, look: Look) -> Iterator[Picture]:
        """Routes and exits (:mod:`.pictures`)."""
        return route_pictures(self, look)

    @torch.no_grad()
    def measured(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shares of rows as served: of each layer's rows at each expert, ``[L, N]``, and of all rows
        at each exit, ``[L]``. A layer that no row reaches has 0.
        """
        course = self.course_of(batch)
        experts = [one.chosen.double().sum(0) / max(1, len(one.chosen)) for one in course.layers]
        return torch.stack(experts), course.exits.chosen.double().mean(0)

    def flops_per_sample(
        self, experts: Tensor | None = None, exits: Tensor | None = None
    ) -> dict[str, int]:
        """The expectation over rows: what reaches a layer is computed by the experts it goes to.

        By default with the shares that training measured (before it, the wished ones);
        :meth:`measured` has those of any rows. All but the events' share is a candidate's.
        """
        experts = self.expert_share if experts is None else experts
        exits = self.exit_share if exits is None else exits
        request, fixed = self.input_flops()
        reach, total = 1.0, float(self.exits.flops())
        last = mlp_flops(self.flat_width, (*self.config.tower, 1))
        for level, mixture in enumerate(self.mixtures):
            assert isinstance(mixture, SparseMixture)
            each = zip(experts[level].tolist(), mixture.expert_flops(), strict=True)
            # An expert is weighed and added, a layer adds its input.
            own = sum(share * (flops + 2 * self.flat_width) for share, flops in each)
            total += reach * (mixture.router.flops() + own + self.flat_width)
            total += float(exits[level]) * len(self.spec.tasks) * last
            reach -= float(exits[level])
        return {"request": request, "candidate": fixed + round(total)}


def _of(routing: Routing, rows: Tensor) -> Routing:
    return Routing(
        logits=routing.logits[rows], gates=routing.gates[rows], chosen=routing.chosen[rows]
    )
