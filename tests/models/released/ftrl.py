"""FTRL and Group-FTRL, held to the steps of the xDeepInt and AdaEnsemble releases (TensorFlow)."""

from __future__ import annotations

import torch
from torch import nn

from hemix.models.ftrl_config import FTRLConfig, GroupFTRLConfig
from hemix.models.training.ftrl import FTRL, GroupFTRL
from tests.models.released_vectors import Case, adapter


@adapter("Group-FTRL (G-FTRL)")
def group_ftrl(case: Case) -> None:
    h = case.hyper
    config = GroupFTRLConfig(beta=h["beta"], group_l1=h["lambda1"], l2=h["lambda2"])
    dense, sparse = (nn.Parameter(case.read("w_0")) for _ in range(2))
    both = [(table, GroupFTRL([table], config, lr=h["alpha"])) for table in (dense, sparse)]
    case.read("n_0"), case.read("z_0")
    for step in range(h["steps"]):
        # What the file is held to is the sparse one; both must agree.
        gradient = case.read(f"g_{step}")
        dense.grad = gradient
        rows = gradient.any(1).nonzero()[:, 0]
        half = torch.cat([rows, rows])[None]  # every row twice, half of its gradient each
        values = torch.cat([gradient[rows] / 2, gradient[rows] / 2])
        sparse.grad = torch.sparse_coo_tensor(half, values, gradient.shape, check_invariants=True)
        for table, optimizer in both:
            optimizer.step()
            case.equal(f"w_{step + 1}", table)
            case.equal(f"n_{step + 1}", optimizer.state[table]["n"])
            case.equal(f"z_{step + 1}", optimizer.state[table]["z"])
        torch.testing.assert_close(dense, sparse)
    case.leave_out(f"g_{h['steps']}", "the gradient after the last step")


@adapter("FTRL-proximal step")
def ftrl(case: Case) -> None:
    h = case.hyper
    config = FTRLConfig(
        learning_rate=h["lr"], initial=h["initial_accumulator"], l1=h["l1"], l2=h["l2"]
    )
    weight = nn.Parameter(case.read("w_0"))
    optimizer = FTRL([weight], config)
    case.equal("n_0", optimizer.state[weight]["n"])
    case.equal("z_0", optimizer.state[weight]["z"])
    for step in range(h["steps"]):
        weight.grad = case.read(f"g_{step}")
        optimizer.step()
        case.equal(f"w_{step + 1}", weight)
        case.equal(f"n_{step + 1}", optimizer.state[weight]["n"])
        case.equal(f"z_{step + 1}", optimizer.state[weight]["z"])
    case.leave_out(f"g_{h['steps']}", "the gradient after the last step")
