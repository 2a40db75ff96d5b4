"""The objective of a training: its terms, what they need to see, and their weighted sum.

Three kinds of terms. *Pointwise* (``bce``): every row by itself. *Comparing*: rows of the whole batch
with each other, whatever part or process holds them. *Auxiliary*: of the ranker or a batch
(:mod:`.auxiliary`). Comparing terms read scores on one state of each user (of each request, when
they compare by request), from a second pass: :mod:`hemix.models.data.shared_state`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hemix.errors import DefinitionError
from hemix.models.data.batch import Batch
from hemix.models.embedding import hashing
from hemix.models.layers.task_outputs import product_logit
from hemix.models.objective_config import (
    GroupCEConfig,
    GroupedConfig,
    InBatchSoftmaxConfig,
    ObjectiveConfig,
)
from hemix.models.rankers.base import Ranker
from hemix.models.training.losses import multi_task_bce
from hemix.models.training.objectives.auxiliary import AUXILIARY, Auxiliary
from hemix.models.training.objectives.bpr import bpr
from hemix.models.training.objectives.cl4ctr import CL4CTR
from hemix.models.training.objectives.group_ce import GroupCE
from hemix.models.training.objectives.groups import Groups, Rows
from hemix.models.training.objectives.in_batch_softmax import (
    batch_shares,
    corrected,
    in_batch_softmax,
)
from hemix.models.training.objectives.jrc import jrc
from hemix.models.training.objectives.listce import listce
from hemix.models.training.objectives.listnet import listnet
from hemix.models.training.objectives.ranknet import ranknet
from hemix.models.training.objectives.rcr import rcr
from hemix.models.training_config import TrainingConfig
from hemix.spec import CategoricalFeature

GROUPED: dict[str, Callable[[Tensor, Tensor, Groups], Tensor]] = {
    "ranknet": ranknet,
    "bpr": bpr,
    "listnet": listnet,
    "listce": listce,
    "jrc": jrc,
    "rcr": rcr,
}
AUXILIARY["cl4ctr"] = CL4CTR
SOFTMAX, GROUP_CE, QUANTISED = "in_batch_softmax", "group_ce", "quantised"
Told = dict[str, Tensor]
"""What is logged of a step: each term's loss by name (before its weight), and shares of usable rows."""


class Objective(nn.Module):
    """What has a state in the terms of ``config``; without one it holds nothing.

    Raises:
        DefinitionError: ``group_ce`` without such an id field of the user, or with more codes than
            users.
    """

    def __init__(self, config: ObjectiveConfig, ranker: Ranker) -> None:
        super().__init__()
        self.config = config
        self.auxiliary = nn.ModuleDict(
            {
                name: AUXILIARY[name](term, ranker)
                for name, term in config.active().items()
                if name in AUXILIARY
            }
        )
        self.group_ce: GroupCE | None = None
        if GROUP_CE in config.active():
            embedding, field = ranker.embedding, self._user_field(ranker)
            vocabulary = ranker.spec.vocabulary(field.vocabulary)
            users = hashing.rows_of(vocabulary, embedding.config.hashed)
            if users < config.group_ce.codes:
                raise DefinitionError(
                    f"training.objective.group_ce.codes is {config.group_ce.codes}, and the table of "
                    f"{field.name!r} has {users} rows.",
                    hint="Set training.objective.group_ce.codes lower.",
                )
            self.user_field = field
            self.group_ce = GroupCE(config.group_ce, embedding.config.width, users)

    def _user_field(self, ranker: Ranker) -> CategoricalFeature:
        """Of the user's id fields the one that is named, or that is made of the key."""
        fields = [field for field in ranker.spec.categorical if field.side == "user"]
        wanted = self.config.group_ce.field
        for field in fields:
            if field.name == wanted or (not wanted and field.vocabulary == ranker.spec.keys[1]):
                return field
        raise DefinitionError(
            f"training.objective.group_ce: there is no id field of the user called "
            f"{wanted or ranker.spec.keys[1]!r}.",
            hint=f"Set training.objective.group_ce.field to one of: "
            f"{', '.join(field.name for field in fields) or '(the definition has none)'}.",
        )

    def prepare(self, ranker: Ranker, batch: Batch, joined: Callable[[Tensor], Tensor]) -> None:
        """What auxiliary terms need of the whole batch, before its parts."""
        for term in self.auxiliary.values():
            assert isinstance(term, Auxiliary)
            term.prepare(ranker, batch, joined)

    def leave_training(self) -> None:
        """Forget what no model version holds."""
        for name, term in list(self.auxiliary.items()):
            if isinstance(term, Auxiliary) and term.training_only:
                del self.auxiliary[name]

    # ---- before the losses ----------------------------------------------------------------------

    def user_rows(self, ranker: Ranker, batch: Batch) -> Tensor:
        """The table row of each row's user, int64 ``[B]``; for :meth:`learn`."""
        rows = ranker.embedding.config.hashed.get(self.user_field.vocabulary)
        ids = batch.ids[self.user_field.name].long()
        size = ranker.spec.vocabulary(self.user_field.vocabulary).size
        return ids if rows is None or rows >= size else hashing.rows(ids, rows)

    def table(self, ranker: Ranker) -> Tensor:
        """The table ``[V, E]`` of the users, without a gradient."""
        table = ranker.embedding.tables[self.user_field.vocabulary]
        return table.get_parameter("weight").detach()

    @property
    def quantises(self) -> bool:
        """Whether there is a pass on quantised users now."""
        group_ce = self.group_ce
        return (
            group_ce is not None
            and self.config.group_ce.quantised > 0
            and self.config.group_ce.levels > 0
            and bool(group_ce.codebooks.ready)
        )

    # ---- losses ---------------------------------------------------------------------------------

    def pointwise(
        self, ranker: Ranker, batch: Batch, logits: Mapping[str, Tensor], training: TrainingConfig
    ) -> tuple[Tensor, Told]:
        """The loss of rows by themselves, and of auxiliary terms; for objectives that compare nothing."""
        terms: Told = {}
        if self.config.bce.weight:
            terms["bce"] = self._bce(logits, batch.labels, training)
        return self._summed(terms | self.auxiliaries(ranker, batch))

    def auxiliaries(self, ranker: Ranker, batch: Batch) -> dict[str, Tensor]:
        """Each auxiliary term's loss by name."""
        return {
            name: cast(Tensor, term(ranker, batch))
            for name, term in self.auxiliary.items()
            if isinstance(term, Auxiliary)
        }

    def comparing(
        self, rows: Rows, codes: Tensor | None, training: TrainingConfig
    ) -> tuple[Tensor, Told]:
        """The loss of all terms but the auxiliary ones, of a whole batch.

        ``codes``: int64 ``[B, L]`` of each row's user, with ``group_ce``.
        """
        terms: Told = {}
        told: Told = {}
        for name, term in self.config.active().items():
            if name == "bce":
                terms[name] = self._bce(rows.logits["live"], rows.labels, training)
            elif name in GROUPED and isinstance(term, GroupedConfig):
                groups, total = rows.groups[term.by], []
                for task, weight, logits, labels in _tasks(rows, term.by, training):
                    total.append(weight * GROUPED[name](logits, labels, groups))
                    share = groups.rows_in(groups.valid(labels))
                    told[f"rows/{term.by}/{task}"] = share
                terms[name] = torch.stack(total).sum()
            elif name == SOFTMAX and isinstance(term, InBatchSoftmaxConfig):
                terms[name] = self._softmax(rows, term, training)
            elif name == GROUP_CE and isinstance(term, GroupCEConfig):
                assert codes is not None
                terms[name], more = self._group_ce(rows, codes, term, training)
                told |= more
        loss, own = self._summed(terms)
        return loss, own | {k: v.detach() for k, v in told.items()}

    def _summed(self, terms: Mapping[str, Tensor]) -> tuple[Tensor, Told]:
        active = self.config.active()
        losses = [active[name].weight * loss for name, loss in terms.items()]
        total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        return total, {name: loss.detach() for name, loss in terms.items()}

    def require_all(self, told: Mapping[str, Tensor]) -> None:
        """Every term that is configured must have been computed."""
        missing = set(self.config.active()) - set(told)
        assert not missing, f"terms of the objective that no step computes: {sorted(missing)}"

    @staticmethod
    def _bce(
        logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], training: TrainingConfig
    ) -> Tensor:
        return multi_task_bce(
            logits, labels, training.task_weights, training.given, training.given_loss
        )

    @staticmethod
    def _softmax(rows: Rows, term: InBatchSoftmaxConfig, training: TrainingConfig) -> Tensor:
        sides = {"items": ["item"], "users": ["user"], "both": ["item", "user"]}[term.against]
        total = []
        for _, weight, logits, labels in _tasks(rows, "user", training):
            if term.correction:
                logits = corrected(logits, batch_shares(rows.keys["item"]).to(logits))
            each = [in_batch_softmax(logits, labels, rows.keys[side]) for side in sides]
            total.append(weight * torch.stack(each).mean())
        return torch.stack(total).sum()

    def _group_ce(
        self, rows: Rows, codes: Tensor, term: GroupCEConfig, training: TrainingConfig
    ) -> tuple[Tensor, Told]:
        assert self.group_ce is not None
        total: list[Tensor] = []
        told: Told = {}
        for task, weight, logits, labels in _tasks(rows, "user", training):
            loss, more = self.group_ce.loss(logits, labels, codes)
            total.append(weight * loss)
            told |= {f"group_ce/{name}/{task}": value for name, value in more.items()}
        if QUANTISED in rows.logits:
            own = self._bce(rows.logits[QUANTISED], rows.labels, training)
            total.append(term.quantised * own)
            told["group_ce/quantised"] = own
        return torch.stack(total).sum(), told


def _tasks(
    rows: Rows, view: str, training: TrainingConfig
) -> list[tuple[str, float, Tensor, Tensor]]:
    """Of each task its name, weight, logits and labels ``[B]``; of every impression, as served.

    A task within another counts with the product of both probabilities.
    """
    joint = {task: (rows.view(view, task), labels) for task, labels in rows.labels.items()}
    for task, parent in training.given.items():
        (z_g, y_g), (z_t, y_t) = joint[parent], joint[task]
        joint[task] = product_logit(z_g, z_t), y_g * y_t
    weights = training.task_weights
    return [(task, weights.get(task, 1.0), *both) for task, both in joint.items()]
