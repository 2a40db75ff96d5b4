"""GroupCE: hierarchical group-wise ranking, an RCR loss in ever smaller groups of alike users.

Yan et al., Hierarchical Group-wise Ranking Framework for Recommendation Models, arXiv 2506.12756.
The user's embedding is quantised by residual codebooks (:mod:`.codebooks`); users that share the first
l codes are a group of level l. With the RCR loss L_l of level l (mean over its groups with both labels):

    L = sum_l [ L_l / (2 s_l^2) + log s_l ]  +  quantised * log loss(y, sigma(s^q))

with learnt uncertainties s_l (Kendall et al., arXiv 1705.07115) and s^q the score when the user's
embedding is replaced by its quantised one, whose gradient passes straight through. Log loss of the
plain score is the term ``bce``. Kept as ``t_l = log s_l^2``: ``exp(-t_l) L_l / 2 + t_l / 2``.

INFERRED, as the paper's text was not at hand: the constants, that e_u is the row of the user id, means
over groups, groups without both labels left out, and that scores are compared on one state of each user.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hemix.models.objective_config import GroupCEConfig
from hemix.models.training.objectives.codebooks import Codebooks
from hemix.models.training.objectives.groups import Groups
from hemix.models.training.objectives.rcr import rcr

PER_CODE = 20
"""k-means begins with this many distinct users a code, or half of all users."""


class GroupCE(nn.Module):
    """Codebooks, uncertainties and which users were seen.

    Args:
        config: as configured.
        width: E of the user's embedding.
        users: rows of the user's table.
    """

    seen: Tensor

    def __init__(self, config: GroupCEConfig, width: int, users: int) -> None:
        super().__init__()
        self.config = config
        self.codebooks = Codebooks(
            config.levels, config.codes, width, decay=config.decay, expiry=config.expiry
        )
        self.needed = max(config.codes, min(PER_CODE * config.codes, users // 2))
        self.register_buffer("seen", torch.zeros(users, dtype=torch.bool))
        first = -math.log(2 * config.first_weight)
        self.log_variances = nn.Parameter(torch.full((len(self.levels),), first))

    @property
    def levels(self) -> tuple[int, ...]:
        """Lengths of the prefixes whose groups are compared."""
        return tuple(range(0 if self.config.whole_batch else 1, self.config.levels + 1))

    @torch.no_grad()
    def learn(self, rows: Tensor, table_VE: Tensor) -> None:
        """Once a step, before the losses: ``rows`` (int64 ``[U]``) of the batch's distinct users."""
        if bool(self.codebooks.ready):
            self.codebooks.learn(table_VE[rows])
        elif self.config.levels:
            self.seen[rows] = True
            if int(self.seen.sum()) >= self.needed:
                self.codebooks.start(table_VE[self.seen.nonzero()[:, 0]])

    def codes(self, vectors_BE: Tensor) -> Tensor:
        """int64 ``[B, L]``; ``[B, 0]`` before k-means."""
        if not bool(self.codebooks.ready):
            return vectors_BE.new_zeros(len(vectors_BE), 0, dtype=torch.int64)
        return self.codebooks.codes(vectors_BE)

    def loss(
        self, logits: Tensor, labels: Tensor, codes_BL: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss of all levels, and of each level its loss and share of usable rows.

        A level without a group of both labels, or before k-means, adds nothing at all.
        """
        total, told = self.log_variances.sum() * 0, {}
        for place, level in enumerate(self.levels):
            own = logits.sum() * 0
            share = torch.zeros((), device=logits.device)
            if level <= codes_BL.shape[1]:
                groups = self.groups(codes_BL, level)
                valid = groups.valid(labels)
                share = groups.rows_in(valid)
                if bool(valid.any()):
                    own = rcr(logits, labels, groups)
                    t = self.log_variances[place].to(own)
                    total = total + (torch.exp(-t) * own + t) / 2
            told[f"level_{level}"], told[f"level_{level}_rows"] = own.detach(), share
        return total, told

    @staticmethod
    def groups(codes_BL: Tensor, level: int) -> Groups:
        """Rows that share the first ``level`` codes; level 0: all of them."""
        if level == 0:
            return Groups(codes_BL.new_zeros(len(codes_BL)), 1)
        return Groups.by(codes_BL[:, :level])
