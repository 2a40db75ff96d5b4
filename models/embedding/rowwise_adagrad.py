"""Row-wise Adagrad: one accumulator a row of a table, and only the rows of a batch are touched.

Duchi et al., Adaptive Subgradient Methods, JMLR 2011, with the mean of a row's squared gradients in
place of every element's (the exact row-wise form of FBGEMM and TorchRec). A table of V rows of width
E then needs V numbers of state instead of V E, and a step costs what the batch's rows cost.

    s_v <- s_v + mean_e g_ve^2 ;   w_v <- w_v - lr g_v / (sqrt(s_v) + eps)      for rows v with g_v
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowwiseAdagrad(torch.optim.Optimizer):
    """For tables ``[V, E]`` with sparse or dense gradients; rows without a gradient stay as they are.

    ``weight_decay`` is added to the gradient (L2), of touched rows only.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "eps": eps})
        for group in self.param_groups:
            for table in group["params"]:  # a checkpoint before the first step has them too
                self.state[table]["sum"] = torch.zeros(len(table), device=table.device)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply the gradients that are there."""
        assert closure is None, "no closure: a step is one pass"
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, *rows_of_gradient(table.grad), group)

    def _update(self, table: Tensor, rows: Tensor, g_RE: Tensor, group: dict[str, Any]) -> None:
        if group["weight_decay"]:
            g_RE = g_RE + group["weight_decay"] * table[rows]
        total = self.state[table]["sum"]
        sum_R = total[rows] + g_RE.square().mean(1)
        total.index_copy_(0, rows, sum_R)
        step_RE = g_RE / (sum_R.sqrt() + group["eps"])[:, None]
        table.index_copy_(0, rows, table[rows] - group["lr"] * step_RE)


def rows_of_gradient(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Rows with a gradient ``[R]``, each once, and their gradients ``[R, E]``."""
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        return gradient.indices()[0], gradient.values()
    rows = gradient.any(1).nonzero()[:, 0]
    return rows, gradient[rows]
