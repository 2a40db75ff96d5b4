"""A router: for each row the networks that compute it, and how much each counts.

Source: the code of AdaEnsemble (yanyachen/AdaEnsemble) for arXiv 2301.08353:

    x~ = x * u,  u uniform in [1 - eps, 1 + eps] entry by entry, in training alone
    v = W_b relu(W_a x~ + b_a) + b_b                        D -> D / 16 -> 16
    z_e = cos(v, E_e) / tau                                 E [N, 16] and tau learned, tau = 1 first
    g = softmax over the k largest z, exactly 0 elsewhere

The noise has no weights. Gradients reach the router through g alone, which must therefore weigh what
the chosen networks give. A softmax over one z is always 1, and would teach nothing: at k = 1 of a
mixture g is the softmax over all N (``over="all"``).

Two losses shape the choice, with f_e the share of rows sent to e, P_e the mean of the softmax over
all N and pi_e the wished share:

    balance = alpha sum_e f_e P_e / pi_e          z = zeta mean_b logsumexp(z_b)^2

(the release forgets zeta). f is a count, so P alone has a gradient: with the counts of all processes
that train together the mean of their losses is that of the whole batch. Parts of an accumulated
batch have an f of their own.

Axes: B batch, D width, N networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers import batch_rng
from hemix.models.layers.dense import mlp_flops


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Of every row: ``logits [B, N]``, ``gates [B, N]`` (0 where not chosen), ``chosen`` (bool)."""

    logits: Tensor
    gates: Tensor
    chosen: Tensor


def top_gates(logits_BN: Tensor, k: int, over: Literal["chosen", "all"] = "chosen") -> Routing:
    """The ``k`` largest of each row, weighed by a softmax over them or over all.

    Example:
        >>> top_gates(torch.tensor([[0.0, 3.0, 3.0, 1.0]]), 2).gates
        tensor([[0.0000, 0.5000, 0.5000, 0.0000]])
    """
    chosen = torch.zeros_like(logits_BN, dtype=torch.bool)
    chosen.scatter_(1, logits_BN.topk(min(k, logits_BN.shape[1]), dim=1).indices, True)
    if over == "chosen":
        gates = logits_BN.masked_fill(~chosen, -torch.inf).softmax(1)
    else:
        gates = logits_BN.softmax(1) * chosen
    return Routing(logits=logits_BN, gates=gates, chosen=chosen)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Over the rows of all processes that train together: ``share [N]`` of them sent to each
    network, and ``weight``, by which a sum over this process's rows becomes a part of their mean
    when the processes' losses are averaged.
    """

    share: Tensor
    weight: Tensor


def counted(routing: Routing) -> Counted:
    """Count the choices; every process must call it."""
    chosen = routing.chosen.to(routing.logits.dtype)
    counts = torch.cat([chosen.sum(0), chosen.new_tensor([len(chosen)])])
    world = 1
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(counts)
        world = dist.get_world_size()
    rows = counts[-1].clamp(min=1)
    return Counted(share=counts[:-1] / rows, weight=world / rows)


def balance_loss(routing: Routing, counts: Counted, prior: Sequence[float] = ()) -> Tensor:
    """``sum_e f_e P_e / pi_e``; without ``prior`` the wished shares are equal."""
    count = routing.logits.shape[1]
    wished = routing.logits.new_tensor(prior or [1 / count] * count)
    mean = routing.logits.softmax(1).sum(0) * counts.weight
    return (counts.share * mean / wished).sum()


def z_loss(routing: Routing, counts: Counted) -> Tensor:
    """``mean_b logsumexp(z_b)^2``, which keeps logits small."""
    return routing.logits.logsumexp(1).square().sum() * counts.weight


class CosineRouter(nn.Module):
    """Logits ``[B, D] -> [B, N]``.

    Args:
        width: D.
        count: N.
        reduction: D over the hidden width.
        size: width of what is compared.
        noise: eps.

    Example:
        >>> CosineRouter(32, 5)(torch.ones(3, 32)).shape
        torch.Size([3, 5])
    """

    def __init__(
        self, width: int, count: int, *, reduction: int = 16, size: int = 16, noise: float = 0.5
    ) -> None:
        super().__init__()
        self.noise = noise
        self.hidden = nn.Linear(width, max(1, width // reduction))
        self.out = nn.Linear(self.hidden.out_features, size)
        for layer in (self.hidden, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.choices = nn.Parameter(torch.randn(count, size) * size**-0.5)
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, x_BD: Tensor) -> Tensor:
        if self.training and self.noise:
            chance = batch_rng.uniform(x_BD.shape, x_BD.device)
            x_BD = x_BD * (1 + self.noise * (2 * chance - 1))
        v_BS = self.out(self.hidden(x_BD).relu())
        # Near ties decide what is computed: not in half precision.
        wide = torch.promote_types(v_BS.dtype, torch.float32)
        with torch.autocast(x_BD.device.type, enabled=False):
            cosine_BN = fn.normalize(v_BS.to(wide)) @ fn.normalize(self.choices).to(wide).T
            return cosine_BN / self.temperature.to(wide)

    def flops(self) -> int:
        """Of a row, without the norms."""
        count, size = self.choices.shape
        return mlp_flops(self.hidden.in_features, (self.hidden.out_features, size, count))
