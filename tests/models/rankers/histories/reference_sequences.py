"""SIM and ETA, one row and one event at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.layers.event_search import TargetAttention
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.histories.eta import ETA
from hemix.models.rankers.histories.sim import SIM
from tests.models.rankers.reference import apply_mlp, apply_tower, events_of, field_vectors

USER = ("user", "context")


def target_columns(model: Ranker, batch: Batch, row: int) -> dict[int, Tensor]:
    """What the candidate has of an event's columns: position -> vector."""
    found = {}
    for at, column in enumerate(model.spec.sequences[0].columns):
        for field in model.spec.categorical:
            if field.side == "item" and field.vocabulary == column.vocabulary:
                table = model.embedding.tables[column.vocabulary].weight
                found[at] = table[batch.ids[field.name][row]]
    return found


def attended(attention: TargetAttention, target: Tensor, events: list[Tensor]) -> Tensor:
    """Every head's softmax over ``events``, then what it sums."""
    size = attention.key.shape[1] // attention.heads
    heads = []
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        query = target @ attention.query[:, part]
        exps = [
            math.exp(float(query @ (event @ attention.key[:, part])) / math.sqrt(size))
            for event in events
        ]
        read = torch.zeros(size if attention.value is not None else len(attention.key))
        for weight, event in zip(exps, events, strict=True):
            value = event if attention.value is None else event @ attention.value[:, part]
            read = read + weight / sum(exps) * value
        heads.append(read)
    out = torch.cat(heads)
    return out if attention.out is None else out @ attention.out


@torch.no_grad()
def sim_logits(model: SIM, batch: Batch) -> dict[str, list[float]]:
    """SIM, event by event: every relevance, their sum, the k best, both attentions."""
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    for row in range(batch.size):
        target = torch.cat(list(target_columns(model, batch, row).values()))
        older, newer = ([torch.cat(e) for e in events_of(model, batch, row, i)] for i in (0, 1))
        wanted = target @ model.search_target
        scores = [float((event @ model.search_event) @ wanted) for event in older]
        broad = torch.zeros(len(model.search_event))
        for score, event in zip(scores, older, strict=True):
            broad = broad + score * event
        best = sorted(range(len(older)), key=lambda j: -scores[j])[: model.config.top]
        parts = [
            *field_vectors(model, batch, row, USER),
            *field_vectors(model, batch, row, ("item",)),
            broad,
            attended(model.found, target, [older[j] for j in best]),
            attended(model.realtime, target, newer),
        ]
        hidden = apply_mlp(model.trunk, torch.cat(parts))
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], hidden)))
    return result


@torch.no_grad()
def eta_found(model: ETA, batch: Batch, row: int) -> list[int]:
    """Which global events ETA reads, bit by bit; at the same distance the later one comes first."""
    target = target_columns(model, batch, row)
    events = events_of(model, batch, row, 0)

    def bits(x: Tensor) -> list[bool]:
        return [float(x @ model.planes[:, bit]) >= 0 for bit in range(model.config.bits)]

    wanted = bits(torch.cat(list(target.values())))
    distances = []
    for event in events:
        have = bits(torch.cat([event[at] for at in target]))
        distances.append(sum(a != b for a, b in zip(have, wanted, strict=True)))
    return sorted(range(len(events)), key=lambda j: (distances[j], -j))[: model.config.top]


@torch.no_grad()
def eta_logits(model: ETA, batch: Batch) -> dict[str, list[float]]:
    """ETA, event by event."""
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    for row in range(batch.size):
        target = torch.cat(list(target_columns(model, batch, row).values()))
        older, newer = ([torch.cat(e) for e in events_of(model, batch, row, i)] for i in (0, 1))
        parts = [
            *field_vectors(model, batch, row, USER),
            *field_vectors(model, batch, row, ("item",)),
            attended(model.found, target, [older[j] for j in eta_found(model, batch, row)]),
            attended(model.realtime, target, newer),
        ]
        hidden = apply_mlp(model.trunk, torch.cat(parts))
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], hidden)))
    return result
