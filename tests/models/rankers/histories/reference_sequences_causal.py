"""LONGER, HSTU and OneTrans, one row, one token and one pair of tokens at a time.

Nothing is shared between candidates here: all tokens of a row stand in one list, the candidate's
among them, and every layer computes all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.layers.causal import CausalLayer
from hemix.models.rankers.histories.hstu import HSTU, HSTULayer
from hemix.models.rankers.histories.longer import LONGER
from hemix.models.rankers.histories.onetrans import OneTrans
from tests.models.rankers.hemix.hemix_reference import normed
from tests.models.rankers.histories.reference_sequences import USER, target_columns
from tests.models.rankers.reference import (
    apply_mlp,
    apply_tower,
    events_of,
    field_vectors,
    layer_norm,
)

Sees = Callable[[int, int], bool]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def transformed(
    layer: CausalLayer, tokens: list[Tensor], queries: list[int], sees: Sees, sets: list[int]
) -> list[Tensor]:
    """A pre-norm layer: the tokens at ``queries`` attend to those they see; ``sets`` a token."""
    size = len(tokens[0]) // layer.heads
    x = [normed(layer.attention_norm, token) for token in tokens]
    k = [x[j] @ layer.key[sets[j]] for j in range(len(x))]
    v = [x[j] @ layer.value[sets[j]] for j in range(len(x))]
    out = []
    for i in queries:
        q, heads = x[i] @ layer.query[sets[i]], []
        for head in range(layer.heads):
            part = slice(head * size, (head + 1) * size)
            exps = {
                j: math.exp(float(q[part] @ k[j][part]) / math.sqrt(size))
                for j in range(len(x))
                if sees(i, j)
            }
            heads.append(sum(w / sum(exps.values()) * v[j][part] for j, w in exps.items()))
        z = tokens[i] + torch.cat(heads) @ layer.out
        p = sets[i]
        h = gelu(normed(layer.ffn_norm, z) @ layer.up[p] + layer.up_bias[p])
        out.append(z + h @ layer.down[p] + layer.down_bias[p])
    return out


def latest_first(model: LONGER | HSTU, batch: Batch, row: int) -> list[Tensor]:
    """The events of both sequences, the latest one first."""
    events = [*events_of(model, batch, row, 0), *events_of(model, batch, row, 1)]
    return [torch.cat(event) for event in reversed(events)]


@torch.no_grad()
def longer_logits(model: LONGER, batch: Batch) -> dict[str, list[float]]:
    """LONGER with all tokens ``[candidate, user, CLS, latest, ..., oldest]`` in one list."""
    c = model.config
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    for row in range(batch.size):
        user = torch.cat(field_vectors(model, batch, row, USER))
        item = torch.cat(field_vectors(model, batch, row, ("item",)))
        h = [
            event @ model.event + model.positions[j]
            for j, event in enumerate(latest_first(model, batch, row))
        ]
        merged = []
        for start in range(0, len(h), c.merge):
            group = h[start : start + c.merge]
            every = list(range(len(group)))
            group = transformed(model.inner, group, every, lambda i, j: True, [0] * len(group))
            nothing = torch.zeros(c.event_width)
            merged.append(torch.cat([*group, *[nothing] * (c.merge - len(group))]))
        tokens = [
            model.candidate.weight @ item + model.candidate.bias,
            model.user.weight @ user + model.user.bias,
            model.cls[0],
            *merged,
        ]
        for layer in model.stack.layers:
            queries = list(range(min(3 + c.recent, len(tokens))))
            tokens = transformed(layer, tokens, queries, lambda i, j: j >= i, [0] * len(tokens))
        hidden = apply_mlp(model.trunk, torch.cat([user, tokens[1], tokens[2], item, tokens[0]]))
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], hidden)))
    return result


@torch.no_grad()
def onetrans_logits(model: OneTrans, batch: Batch) -> dict[str, list[float]]:
    """OneTrans with ``[global, SEP, real-time, NS]`` in time order, the oldest event first."""
    c = model.config
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    for row in range(batch.size):
        older, newer = ([torch.cat(e) for e in events_of(model, batch, row, i)] for i in (0, 1))
        tokens = [event @ model.older for event in older] + [model.separator]
        tokens += [event @ model.newer for event in newer]
        x = torch.cat(
            field_vectors(model, batch, row, USER) + field_vectors(model, batch, row, ("item",))
        )
        z = model.split.weight @ apply_mlp(model.hidden, x) + model.split.bias
        ns = [z[n * c.token_width : (n + 1) * c.token_width] for n in range(c.tokens)]
        for number, layer in enumerate(model.stack.layers, 1):
            longest = sum(sequence.max_length for sequence in model.spec.sequences) + 1
            left = longest * (c.layers - number) // c.layers if c.pyramid else longest
            first = max(len(tokens) - left, 0)
            sets = [0] * len(tokens) + [1 + n for n in range(c.tokens)]
            both = [*tokens, *ns]
            queries = list(range(first, len(both)))
            new = transformed(layer, both, queries, lambda i, j: j <= i, sets)
            tokens, ns = new[: -c.tokens], new[-c.tokens :]
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], torch.cat(ns))))
    return result


def transduced(layer: HSTULayer, tokens: list[Tensor], gaps: list[int | None]) -> list[Tensor]:
    """An HSTU layer over ``[oldest, ..., latest, candidate]``; ``gaps`` of the keys, if any."""
    width = len(tokens[0])
    size = width // layer.heads
    u, v, q, k = (
        [silu(normed(layer.norm, token) @ weight) for token in tokens] for weight in layer.uvqk
    )
    out = []
    for i, token in enumerate(tokens):
        heads = []
        for head in range(layer.heads):
            part, read = slice(head * size, (head + 1) * size), torch.zeros(size)
            for j in range(i + 1):
                gap = gaps[j]
                rab = layer.position[i - j] + (0.0 if gap is None else layer.time[gap])
                read = read + silu(q[i][part] @ k[j][part] + rab) / len(tokens) * v[j][part]
            heads.append(read)
        y = layer_norm(torch.cat(heads)) * u[i]
        out.append(token + layer.out.weight @ y + layer.out.bias)
    return out


@torch.no_grad()
def hstu_logits(model: HSTU, batch: Batch) -> dict[str, list[float]]:
    """HSTU; an event is the sum of its columns' projections, the candidate of those it has."""
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    width = model.embedding.config.width
    roles = [column.role for column in model.spec.sequences[0].columns]

    def projected(columns: dict[int, Tensor]) -> Tensor:
        total = torch.zeros(model.config.token_width)
        for at, vector in columns.items():
            total = total + vector @ model.event[at * width : (at + 1) * width]
        return total

    for row in range(batch.size):
        tokens: list[Tensor] = []
        gaps: list[int | None] = []
        for index in (0, 1):
            tokens += [projected(dict(enumerate(e))) for e in events_of(model, batch, row, index)]
            lists = batch.lists[model.spec.sequences[index].name]
            for at in range(int(lists.offsets[row]), int(lists.offsets[row + 1])):
                known = "gap" in roles
                gaps.append(int(lists.values[roles.index("gap"), at]) if known else None)
        tokens.append(projected(target_columns(model, batch, row)))
        for layer in model.layers:
            tokens = transduced(layer, tokens, [*gaps, None])
        user = field_vectors(model, batch, row, USER)
        item = field_vectors(model, batch, row, ("item",))
        hidden = apply_mlp(model.trunk, torch.cat([*user, *item, tokens[-1]]))
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], hidden)))
    return result
