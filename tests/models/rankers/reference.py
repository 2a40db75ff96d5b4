"""Slow, obvious forward passes, one row and one loop at a time, for parity tests."""

from __future__ import annotations

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.layers.dense import MLP, CrossLayer, Tower
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.histories.din import DIN


def field_vectors(ranker: Ranker, batch: Batch, row: int, sides: tuple[str, ...]) -> list[Tensor]:
    """One vector per field: table row, or bucket row plus number times direction."""
    embedding, vectors, offset = ranker.embedding, [], 0
    for field in ranker.spec.categorical:
        if field.side in sides:
            vectors.append(embedding.tables[field.vocabulary].weight[batch.ids[field.name][row]])
    for index, number in enumerate(ranker.spec.numeric):
        if number.side in sides:
            bucket = embedding.buckets.weight[offset + int(batch.ids[number.bucket][row])]
            vectors.append(bucket + batch.numbers[number.name][row] * embedding.directions[index])
        offset += number.buckets
    return vectors


def events_of(ranker: Ranker, batch: Batch, row: int, index: int) -> list[list[Tensor]]:
    """The events of one row: a list of events, each a list of one vector per column."""
    sequence = ranker.spec.sequences[index]
    lists = batch.lists[sequence.name]
    start, end = int(lists.offsets[row]), int(lists.offsets[row + 1])
    return [
        [
            ranker.embedding.tables[column.vocabulary].weight[lists.values[c, event]]
            for c, column in enumerate(sequence.columns)
        ]
        for event in range(start, end)
    ]


def apply_mlp(mlp: MLP, x: Tensor) -> Tensor:
    for layer in mlp.net:
        if isinstance(layer, torch.nn.Linear):
            x = (layer.weight @ x + layer.bias).clamp(min=0)
    return x


def apply_tower(tower: Tower, x: Tensor) -> Tensor:
    return tower.out.weight[0] @ apply_mlp(tower.mlp, x) + tower.out.bias[0]


def layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + 1e-5)


def cross(layer: CrossLayer, x0: Tensor, x: Tensor) -> Tensor:
    """A cross layer of one row, element by element."""
    weight, bias = layer.linear.weight, layer.linear.bias
    return torch.stack([x0[i] * (weight[i] @ x + bias[i]) + x[i] for i in range(len(x0))])


@torch.no_grad()
def din_logits(model: DIN, batch: Batch) -> dict[str, list[float]]:
    """DIN, event by event: weight a(e, t, e - t, e * t, extra), sum of weighted events."""
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    tables = model.embedding.tables
    item_fields = {f.vocabulary: f.name for f in model.spec.categorical if f.side == "item"}
    for row in range(batch.size):
        parts = field_vectors(model, batch, row, ("user", "item", "context"))
        for index, sequence in enumerate(model.spec.sequences):
            names = [column.vocabulary for column in sequence.columns]
            shared = [i for i, name in enumerate(names) if name in item_fields]
            extra = [i for i, name in enumerate(names) if name not in item_fields]
            target = torch.cat(
                [tables[names[i]].weight[batch.ids[item_fields[names[i]]][row]] for i in shared]
            )
            interest = torch.zeros(len(names) * model.embedding.config.width)
            for event in events_of(model, batch, row, index):
                e = torch.cat([event[i] for i in shared])
                rest = torch.cat([event[i] for i in extra])
                inputs = torch.cat([e, target, e - target, e * target, rest])
                weight = apply_tower(model.attention[index].score, inputs)
                interest = interest + weight * torch.cat([e, rest])
            parts.append(interest)
        hidden = apply_mlp(model.trunk, torch.cat(parts))
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], hidden)))
    return result
