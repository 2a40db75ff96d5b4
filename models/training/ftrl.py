"""Optimisers that make weights exactly 0: Group-FTRL for whole rows of tables, FTRL for single weights.

Paper: Yan and Li, "xDeepInt: a hybrid architecture for modeling the vector-wise and bit-wise feature
interactions", DLP-KDD 2020, arXiv 2301.01089; FTRL-proximal itself: McMahan et al., "Ad Click
Prediction: a View from the Trenches", KDD 2013. From the gradient g of a weight w (``a``: learning
rate):

    n' = n + g^2        s = (sqrt(n') - sqrt(n)) / a        z' = z + g - s w

    FTRL, a weight       w' = 0                                          if |z'| <= l1
                         w' = (sign(z') l1 - z') / (sqrt(n') / a + 2 l2)     else
    Group-FTRL, a row    w' = 0                                          if ||z'|| <= L1 sqrt(E)
                         w' = z' (L1 sqrt(E) / ||z'|| - 1) / ((b + sqrt(n')) / a + L2)     else

The rate falls by itself, weight by weight, so the training's schedule and warm-up do not touch it.

A row without a gradient keeps its n, z and so its w: only rows that a batch touches are computed, and
the result is that of the dense update. One case needs care. New rows have random weights and z = 0,
for which the formula says w = 0: the dense update takes all rows but the first batch's to 0 at the
first step, and so does this one. With ``keep_initial`` (and after a warm start, always) z is chosen
instead so that the formula gives the weights that are there.

Axes: V rows of a table, E their width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from hemix.models.embedding.rowwise_adagrad import rows_of_gradient
from hemix.models.ftrl_config import FTRLConfig, GroupFTRLConfig


class GroupFTRL(torch.optim.Optimizer):
    """For tables ``[V, E]`` with sparse or dense gradients; the module's text has the formula."""

    def __init__(
        self, params: Iterable[nn.Parameter], config: GroupFTRLConfig, *, lr: float
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.config = config
        for table in self._tables():
            z = torch.zeros_like(table)
            if config.keep_initial:
                w = table.detach()
                length = w.norm(dim=1, keepdim=True)
                pull = config.beta / lr + config.l2
                grown = pull + config.group_l1 * w.shape[1] ** 0.5 / length
                z = torch.where(length > 0, -w * grown, 0.0)
            self.state[table] = {
                "n": torch.zeros_like(table),
                "z": z,
                "begun": torch.zeros((), device=table.device),
            }

    def _tables(self) -> list[nn.Parameter]:
        return [table for group in self.param_groups for table in group["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply the gradients that are there."""
        assert closure is None, "no closure: a step is one pass"
        rate = self.param_groups[0]["lr"]
        for table in self._tables():
            if table.grad is not None:
                self._update(table, *rows_of_gradient(table.grad), rate)
            state = self.state[table]
            if not state["begun"]:
                table.masked_fill_(~state["z"].any(1, keepdim=True), 0.0)
                state["begun"].fill_(1)

    def _update(self, table: Tensor, rows: Tensor, g_RE: Tensor, rate: float) -> None:
        c, state = self.config, self.state[table]
        n_RE = state["n"][rows]
        new_RE = n_RE + g_RE.square()
        sigma_RE = (new_RE.sqrt() - n_RE.sqrt()) / rate
        z_RE = state["z"][rows] + g_RE - sigma_RE * table[rows]
        length = z_RE.norm(dim=1, keepdim=True)
        most = c.group_l1 * z_RE.shape[1] ** 0.5
        w_RE = z_RE * (most / length - 1) / ((c.beta + new_RE.sqrt()) / rate + c.l2)
        state["n"].index_copy_(0, rows, new_RE)
        state["z"].index_copy_(0, rows, z_RE)
        table.index_copy_(0, rows, torch.where(length > most, w_RE, 0.0))


class FTRL(torch.optim.Optimizer):
    """For dense parameters of any shape; the module's text has the formula."""

    def __init__(self, params: Iterable[nn.Parameter], config: FTRLConfig) -> None:
        super().__init__(params, {"lr": config.learning_rate})
        self.config = config
        for group in self.param_groups:
            for weight in group["params"]:
                w = weight.detach()
                z = torch.zeros_like(w)
                if config.keep_initial:
                    pull = config.initial**0.5 / config.learning_rate + 2 * config.l2
                    z = -w * pull - w.sign() * config.l1
                self.state[weight] = {"n": torch.full_like(w, config.initial), "z": z}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply the gradients that are there."""
        assert closure is None, "no closure: a step is one pass"
        c = self.config
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                n, z = self.state[w]["n"], self.state[w]["z"]
                new = n + w.grad.square()
                z += w.grad - (new.sqrt() - n.sqrt()) / group["lr"] * w
                n.copy_(new)
                pulled = (z.sign() * c.l1 - z) / (new.sqrt() / group["lr"] + 2 * c.l2)
                w.copy_(torch.where(z.abs() > c.l1, pulled, 0.0))


class Zeros(BaseModel):
    """How many rows of a table, or single weights, are exactly 0."""

    zero: int
    of: int
    what: str

    @property
    def line(self) -> str:
        return f"{self.zero:,} of {self.of:,} {self.what} are 0 ({100 * self.zero / self.of:.1f} %)"


def zeros(tables: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Zeros]:
    """What training took to 0: rows of ``tables [V, E]``, single numbers of ``weights``.

    Example:
        >>> zeros({"item": torch.eye(2, 3)[[0, 0]] * 0}, {})["item"].line
        '2 of 2 rows are 0 (100.0 %)'
    """
    found = {
        name: Zeros(zero=int((~table.any(1)).sum()), of=len(table), what="rows")
        for name, table in tables.items()
    }
    for name, w in weights.items():
        found[name] = Zeros(zero=int((w == 0).sum()), of=w.numel(), what="weights")
    return found
