"""What the loop-written references of vector rankers start from: one row's vectors, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.embedding.target_attention import SequenceInterest
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.vector import VectorRanker
from tests.models.rankers.reference import apply_tower, events_of, field_vectors

Shaken = TypeVar("Shaken", bound=torch.nn.Module)


def shaken(module: Shaken, spread: float = 0.2) -> Shaken:
    """The module in evaluation mode, every parameter random: nothing hides behind a zero or one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return module.eval()


@torch.no_grad()
def every_row(
    model: VectorRanker, batch: Batch, logits: Callable[[list[Tensor], int], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """``logits`` of each row's vectors and number, put together."""
    rows = [logits(row_vectors(model, batch, row), row) for row in range(batch.size)]
    return {task: torch.stack([row[task] for row in rows]) for task in rows[0]}


def row_vectors(model: VectorRanker, batch: Batch, row: int) -> list[Tensor]:
    """Fields of user and context, means, fields of the item, interests."""
    means, interests = [], []
    for index, sequence in enumerate(model.spec.sequences):
        events = events_of(model, batch, row, index)
        if model.interests:
            one = model.interests[index]
            assert isinstance(one, SequenceInterest)
            interests += interest(model, one, events, batch, row)
            continue
        for column in range(len(sequence.columns)):
            mean = torch.zeros(model.embedding.config.width)
            for event in events:
                mean = mean + event[column] / len(events)
            means.append(mean)
    request = field_vectors(model, batch, row, ("user", "context"))
    return [*request, *means, *field_vectors(model, batch, row, ("item",)), *interests]


def interest(
    model: Ranker, one: SequenceInterest, events: list[list[Tensor]], batch: Batch, row: int
) -> list[Tensor]:
    """DIN's sum, event by event: shared columns, then the others, one vector each."""
    fields = {f.vocabulary: f.name for f in model.spec.categorical if f.side == "item"}
    names = [column.vocabulary for column in one.sequence.columns]
    shared = [i for i, name in enumerate(names) if name in fields]
    others = [i for i, name in enumerate(names) if name not in fields]
    tables = model.embedding.tables
    target = torch.cat([tables[names[i]].weight[batch.ids[fields[names[i]]][row]] for i in shared])
    total = [torch.zeros(model.embedding.config.width) for _ in names]
    for event in events:
        e = torch.cat([event[i] for i in shared])
        rest = torch.cat([event[i] for i in others])
        weight = apply_tower(one.score, torch.cat([e, target, e - target, e * target, rest]))
        total = [
            sum_ + weight * event[i] for sum_, i in zip(total, [*shared, *others], strict=True)
        ]
    return total


def apply_towers(model: VectorRanker, towers: torch.nn.ModuleDict, x: Tensor) -> dict[str, Tensor]:
    """Every task's logit from one vector."""
    return {task.name: apply_tower(towers[task.name], x) for task in model.spec.tasks}
