"""From a ranker's logits to the logits that are served: tasks within tasks, and calibration.

Tasks within tasks. With ``given = {conversion: click}`` the tower of ``conversion`` speaks of clicked
impressions only: its logit is that of ``P(conversion | click)``. What is served under the task's name
is a probability of every impression, as for any other task (Ma et al., Entire Space Multi-Task Model,
SIGIR 2018, arXiv 1804.07931, eq. 1):

    P(click, conversion) = P(click) P(conversion | click),   pCTCVR = pCTR pCVR

so it may be ranked by, calibrated and compared with models that know no such order. The tower's own
probability is the quotient of two served ones.

Calibration. ``logit -> scale * logit + shift``, a task each, ``scale > 0``: no order of scores changes.
Platt, Probabilistic Outputs for Support Vector Machines, 1999; with ``shift = 0`` the temperature of
Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv 1706.04599. Both numbers are
buffers, so they are part of the exported weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

Calibration = Literal["none", "temperature", "platt"]
SMALLEST_SCALE = 0.01
"""What keeps a calibration increasing where scores say nothing, or the opposite."""
ITERATIONS = 100


class TaskOutputs(nn.Module):
    """``{task: logit [B]}`` of a ranker -> the served ones; by default they are the same.

    ``given``: task -> the task within which its tower speaks, in an order in which each stands after
    what it is given (:func:`ordered`).

    Example:
        >>> outputs = TaskOutputs(("click", "buy"), given={"buy": "click"})
        >>> {t: round(l.sigmoid().item(), 2) for t, l in outputs(dict.fromkeys(("click", "buy"), torch.zeros(1))).items()}
        {'click': 0.5, 'buy': 0.25}
    """

    def __init__(
        self,
        tasks: tuple[str, ...] = (),
        given: Mapping[str, str] | None = None,
        calibration: Calibration = "none",
    ) -> None:
        super().__init__()
        self.tasks, self.given, self.calibration = tasks, dict(given or {}), calibration
        if calibration != "none":
            self.register_buffer("scale", torch.ones(len(tasks)))
            self.register_buffer("shift", torch.zeros(len(tasks)))

    def forward(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        served = self.joined(logits)
        if self.calibration == "none":
            return served
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        return {
            task: served[task].float() * scale[at] + shift[at] for at, task in enumerate(self.tasks)
        }

    def joined(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Before calibration: tasks within tasks become tasks of every impression."""
        served = dict(logits)
        for task, parent in self.given.items():
            served[task] = product_logit(served[parent], logits[task])
        return served

    @torch.no_grad()
    def fit(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> None:
        """Calibrate to rows that the weights have not seen: ranker's logits and labels ``[B]``.

        A task with one class stays as it is.
        """
        served = self.joined(logits)
        for at, task in enumerate(self.tasks):
            label = labels[task].double()
            if 0 < label.sum() < len(label):
                found = platt(served[task].double(), label, shifted=self.calibration == "platt")
                self.get_buffer("scale")[at], self.get_buffer("shift")[at] = found


def ordered(given: Mapping[str, str]) -> dict[str, str]:
    """``given`` with every task behind the one it is given.

    Raises:
        ValueError: tasks are given each other in a circle.
    """
    found: dict[str, str] = {}
    left = dict(given)
    while left:
        ready = {task: parent for task, parent in left.items() if parent not in left}
        if not ready:
            raise ValueError(f"tasks are given each other in a circle: {', '.join(sorted(left))}")
        found |= ready
        left = {task: parent for task, parent in left.items() if task not in ready}
    return found


def product_logit(a: Tensor, b: Tensor) -> Tensor:
    """The logit of ``sigmoid(a) sigmoid(b)``, exact where either is close to 0 or 1: ``[B]``.

    ``log p = log s(a) + log s(b)`` and ``1 - p = s(-a) + s(a) s(-b)``.
    """
    a, b = (x if x.dtype == torch.float64 else x.float() for x in (a, b))
    positive = fn.logsigmoid(a) + fn.logsigmoid(b)
    negative = torch.logaddexp(fn.logsigmoid(-a), fn.logsigmoid(a) + fn.logsigmoid(-b))
    return positive - negative


def platt(logits: Tensor, labels: Tensor, *, shifted: bool) -> tuple[float, float]:
    """``(scale, shift)`` of least cross-entropy of ``labels [B]``, float64, ``scale > 0``.

    Newton's method on a convex loss with halved steps. Labels are drawn towards each other as in
    Platt (eq. for t+ and t-), so that separable rows have a solution too.
    """
    positives = labels.sum()
    negatives = len(labels) - positives
    target = torch.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    columns = [logits, torch.ones_like(logits)] if shifted else [logits]
    x_BK = torch.stack(columns, 1)

    def loss(w: Tensor) -> Tensor:
        return fn.binary_cross_entropy_with_logits(x_BK @ w, target)

    w = torch.tensor([1.0, 0.0][: len(columns)], dtype=torch.float64, device=logits.device)
    for _ in range(ITERATIONS):
        p = (x_BK @ w).sigmoid()
        gradient = x_BK.T @ (p - target) / len(labels)
        curve = (x_BK * (p * (1 - p))[:, None]).T @ x_BK / len(labels)
        step = torch.linalg.solve(curve + 1e-12 * torch.eye(len(w)).to(curve), gradient)
        rate = 1.0
        while loss(w - rate * step) > loss(w) and rate > 1e-6:
            rate /= 2
        w = w - rate * step
        if step.abs().max() * rate < 1e-10:
            break
    if w[0] >= SMALLEST_SCALE:
        return float(w[0]), float(w[1]) if shifted else 0.0
    # At the bound of the scale; its best shift is that of the base rate.
    rate = float(target.mean())
    centre = float(torch.logit(torch.tensor(rate, dtype=torch.float64)))
    return SMALLEST_SCALE, centre - SMALLEST_SCALE * float(logits.mean()) if shifted else 0.0
