"""Rankers over crossed fields, one row, one vector and one entry at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.rankers.fields import FieldRanker
from tests.models.rankers.reference import apply_mlp, cross, field_vectors, layer_norm
from tests.models.rankers.reference_vectors import apply_towers, every_row

Row = list[Tensor]
Logits = Callable[[Any, Row], dict[str, Tensor]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def expected(model: FieldRanker, batch: Batch) -> dict[str, Tensor]:
    """Logits of every row, with the first-order term of its ids and numbers."""
    find = LOGITS[model.name]

    def logits(x: Row, row: int) -> dict[str, Tensor]:
        found = find(model, [one.double() for one in x])
        if model.first_order is None:
            return found
        for index, task in enumerate(model.spec.tasks):
            sides = ("user", "item", "context")
            weights = field_vectors(First(model), batch, row, sides)  # type: ignore[arg-type]
            total = found[task.name] + model.first_bias[index]
            for weight in weights:
                total = total + weight[index]
            found[task.name] = total
        return found

    return every_row(model, batch, logits)


class First:
    """What :func:`field_vectors` looks at, with the first-order weights as the vectors."""

    def __init__(self, model: FieldRanker) -> None:
        self.spec, self.embedding = model.spec, model.first_order


def machine(model: Any, x: Row) -> list[float]:
    """The second-order sum of each task, pair by pair."""
    found = []
    for task in range(len(model.spec.tasks)):
        total = 0.0
        for a, b in combinations(x, 2):
            for e in range(len(a)):
                own = 0.0 if model.pairs.weight is None else float(model.pairs.weight[task, e])
                total += (1 + own) * float(a[e]) * float(b[e])
        found.append(total)
    return found


def fm(model: Any, x: Row) -> dict[str, Tensor]:
    return {
        task.name: torch.tensor(value, dtype=torch.float64)
        for task, value in zip(model.spec.tasks, machine(model, x), strict=True)
    }


def deepfm(model: Any, x: Row) -> dict[str, Tensor]:
    towers = apply_towers(model, model.tower, apply_mlp(model.deep, torch.cat(x)))
    pairs = fm(model, x)
    return {task: towers[task] + pairs[task] for task in towers}


def nfm(model: Any, x: Row) -> dict[str, Tensor]:
    pooled = torch.zeros(len(x[0]), dtype=torch.float64)
    for a, b in combinations(x, 2):
        pooled = pooled + a * b
    if model.config.norm:
        pooled = layer_norm(pooled) * model.norm.weight + model.norm.bias
    return apply_towers(model, model.tower, apply_mlp(model.deep, pooled))


def xdeepfm(model: Any, x: Row) -> dict[str, Tensor]:
    config, before, pooled = model.config, x, []
    for level, weight in enumerate(model.cin.weights):
        made = []
        for h in range(config.maps[level]):
            total = torch.zeros(len(x[0]), dtype=torch.float64)
            for i, a in enumerate(before):
                for j, b in enumerate(x):
                    total = total + weight[i * len(x) + j, h] * a * b
            made.append(total.clamp(min=0) if config.activation == "relu" else total)
        last = level == len(config.maps) - 1
        half = len(made) // 2 if config.split else len(made)
        pooled += [one.sum() for one in (made if last else made[:half])]
        before = made[-half:]
    u = [torch.stack(pooled)]
    if model.deep is not None:
        u.append(apply_mlp(model.deep, torch.cat(x)))
    return apply_towers(model, model.tower, torch.cat(u))


def afn(model: Any, x: Row) -> dict[str, Tensor]:
    neurons = []
    for powers in model.neurons.weight.tolist():
        for e in range(len(x[0])):
            total = 0.0
            for power, one in zip(powers, x, strict=True):
                size = abs(float(one[e])) + 1e-7
                shifted = model.config.logarithm == "shifted"
                total += power * (math.log(1 + size) if shifted else math.log(size))
            neurons.append(max(0.0, math.exp(total) - 1) if shifted else math.exp(total))
    u = [apply_mlp(model.hidden, torch.tensor(neurons, dtype=torch.float64))]
    if model.deep is not None:
        u.append(apply_mlp(model.deep, torch.cat(x)))
    return apply_towers(model, model.tower, torch.cat(u))


def fibinet(model: Any, x: Row) -> dict[str, Tensor]:
    squeezed = torch.stack([one.sum() / len(one) for one in x])
    senet = model.senet
    hidden = (senet.squeeze.weight @ squeezed + senet.squeeze.bias).clamp(min=0)
    weights = (senet.excite.weight @ hidden + senet.excite.bias).clamp(min=0)
    weighed = [weight * one for weight, one in zip(weights, x, strict=True)]
    products = []
    for pairs, row in ((model.plain, x), (model.weighed, weighed)):
        for number, (i, j) in enumerate(combinations(range(len(row)), 2)):
            matrix = pairs.weight[{"all": 0, "each": i, "interaction": number}[pairs.kind]]
            products.append((row[i] @ matrix) * row[j])
    return apply_towers(model, model.tower, apply_mlp(model.deep, torch.cat(products)))


def dcn(model: Any, x: Row) -> dict[str, Tensor]:
    x0 = u = torch.cat(x)
    for layer in model.crosses:
        along = sum(float(a) * float(b) for a, b in zip(layer.weight[0], u, strict=True))
        u = torch.stack([x0[i] * along + layer.bias[i] + u[i] for i in range(len(u))])
    if model.deep is not None:
        u = torch.cat([u, apply_mlp(model.deep, x0)])
    return apply_towers(model, model.tower, u)


def dcnv2(model: Any, x: Row) -> dict[str, Tensor]:
    x0 = u = torch.cat(x)
    for layer in model.cross:
        u = cross(layer, x0, u)
    if model.deep is not None and model.config.structure == "stacked":
        u = apply_mlp(model.deep, u)
    elif model.deep is not None:
        u = torch.cat([u, apply_mlp(model.deep, x0)])
    return apply_towers(model, model.tower, u)


def gdcn(model: Any, x: Row) -> dict[str, Tensor]:
    c0 = u = torch.cat(x)
    for layer in model.crosses.layers:
        weight, bias, gate = layer.linear.weight, layer.linear.bias, layer.gate.weight
        new = [
            c0[i] * (weight[i] @ u + bias[i]) * sigmoid(float(gate[i] @ u)) + u[i]
            for i in range(len(u))
        ]
        u = torch.stack(new)
    if model.structure == "stacked":
        u = apply_mlp(model.deep, u)
    elif model.structure == "parallel":
        u = torch.cat([u, apply_mlp(model.deep, c0)])
    return apply_towers(model, model.tower, u)


def apply_net(net: Any, x: Tensor) -> Tensor:
    """A bottleneck with or without biases."""
    first, last = net.first, net.last
    hidden = first.weight @ x if first.bias is None else first.weight @ x + first.bias
    out = last.weight @ hidden.clamp(min=0)
    return out if last.bias is None else out + last.bias


def row_weights(model: Any, level: int, ctx: Tensor) -> tuple[Any, Any]:
    """W of this row, and what its results are multiplied with, for every (row, entry)."""
    net, network = model.network, model.config
    if model.name == "xdeepint":
        return net.weights[level], lambda row, entry: 1.0
    made = apply_net(net.nets[level], ctx)
    if network.mode == "activation":
        gates = [2 * sigmoid(float(value)) for value in made]
        chunk = len(model.embedding.directions[0]) // network.subspaces
        return net.weights[
            level
        ], lambda row, entry: gates[row * chunk + entry] if network.bits else gates[row]
    rank = network.rank
    if network.mode == "generated":
        core = made.reshape(rank, rank)
        own = net.left[level] @ core @ net.right[level].T
        return (own + net.weights[level] if network.static else own), lambda row, entry: 1.0
    factors = [2 * sigmoid(float(value)) / math.sqrt(rank) for value in made]
    rows = len(net.weights[level])
    mask = torch.zeros(rows, rows, dtype=torch.float64)
    for q in range(rank):
        for i in range(rows):
            for j in range(rows):
                mask[i, j] += factors[q * rows + i] * factors[(rank + q) * rows + j]
    return net.weights[level] * mask, lambda row, entry: 1.0


def polynomial(model: Any, x: Row) -> dict[str, Tensor]:
    config = model.config
    width, h = len(x[0]), config.subspaces
    chunk = width // h
    # Row s * V + v of a stack is chunk s of vector v.
    x0 = [one[s * chunk : (s + 1) * chunk] for s in range(h) for one in x]
    bend = {"none": lambda y: y, "tanh": math.tanh}[getattr(config, "activation", "none")]
    levels = [x0]
    for level in range(config.layers):
        weight, gate = row_weights(model, level, torch.cat(x))
        new = []
        for row in range(len(x0)):
            out = torch.zeros(chunk, dtype=torch.float64)
            for entry in range(chunk):
                total = sum(float(weight[row, i]) * float(x0[i][entry]) for i in range(len(x0)))
                before = float(levels[-1][row][entry])
                out[entry] = before * bend(total) * gate(row, entry)
                if getattr(config, "residual", True):
                    out[entry] += before
            new.append(out)
        levels.append(new)
    wanted = levels[-1:] if getattr(config, "residual", True) else levels
    vectors = [
        torch.cat([level[s * len(x) + v] for s in range(h)])
        for level in wanted
        for v in range(len(x))
    ]
    found = {}
    for index, task in enumerate(model.spec.tasks):
        total = torch.zeros((), dtype=torch.float64)
        for e in range(width):
            total = total + model.head.bias[index]
            for v, one in enumerate(vectors):
                total = total + model.head.weight[index, v] * one[e]
        found[task.name] = total
    return found


# ---- AdaEnsemble ----------------------------------------------------------------------------------


def dense(layer: Any, x: Tensor) -> Tensor:
    return layer.weight @ x if layer.bias is None else layer.weight @ x + layer.bias


def gelu(x: Tensor) -> Tensor:
    return torch.stack([v * 0.5 * (1 + math.erf(float(v) / math.sqrt(2))) for v in x])


def convolution(expert: Any, x: Tensor) -> Tensor:
    line, pooled = dense(expert.inner, x), []
    for place in range(expert.pooled):
        for f in range(len(expert.filters)):
            sums = [
                sum(float(expert.filters[f, 0, w]) * float(line[at + w]) for w in range(4))
                + float(expert.bias[f])
                for at in (2 * place, 2 * place + 1)
            ]
            pooled.append(max(sums))
    return dense(expert.out, torch.tensor(pooled, dtype=torch.float64))


def attention(expert: Any, x: Tensor) -> Tensor:
    rows = x.reshape(expert.vectors, expert.width)
    q, k, v = ([gelu(dense(m, r)) for r in rows] for m in (expert.query, expert.key, expert.value))
    read = []
    for i in range(len(rows)):
        heads = []
        for head in range(4):
            part = slice(2 * head, 2 * head + 2)
            scores = [math.exp(float(q[i][part] @ one[part]) / math.sqrt(2)) for one in k]
            total = torch.zeros(2, dtype=torch.float64)
            for score, one in zip(scores, v, strict=True):
                total = total + score / sum(scores) * one[part]
            heads.append(total)
        read.append(gelu(dense(expert.project, torch.cat(heads))))
    table = torch.stack(read)
    for channel in range(table.shape[1]):
        column = table[:, channel].clone()
        mean = column.sum() / len(column)
        spread = ((column - mean) ** 2).sum() / len(column)
        table[:, channel] = (column - mean) / torch.sqrt(spread + 1e-3) * expert.scale[
            channel
        ] + expert.shift[channel]
    return dense(expert.out, table.flatten())


EXPERTS: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "gated": lambda m, x, x0: (
        dense(m.dense, x).clamp(min=0)
        * torch.stack([2 * torch.sigmoid(v) for v in apply_net(m.gate, x0)])
    ),
    "cross": lambda m, x, x0: x0 * dense(m.dense, x),
    "polynomial": lambda m, x, x0: x * dense(m.dense, x0),
    "convolution": lambda m, x, x0: convolution(m, x),
    "attention": lambda m, x, x0: attention(m, x),
}


def router_logits(router: Any, x: Tensor) -> list[float]:
    v = dense(router.out, dense(router.hidden, x).clamp(min=0))
    return [
        float(v @ choice / (v.norm() * choice.norm()) / router.temperature)
        for choice in router.choices
    ]


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def adaensemble(model: Any, x: Row) -> dict[str, Tensor]:
    x0 = u = torch.cat(x)
    scores = router_logits(model.exits, x0)
    leave = scores.index(max(scores))
    for mixture in model.mixtures[: leave + 1]:
        logits = router_logits(mixture.router, x0)
        best = sorted(range(len(logits)), key=lambda e: -logits[e])[: mixture.chosen]
        gates = dict(zip(best, softmax([logits[e] for e in best]), strict=True))
        if len(best) == 1:
            gates = {best[0]: softmax(logits)[best[0]]}
        new = u.clone()
        for index, (name, expert) in enumerate(mixture.experts.items()):
            if index in gates:
                weight = gates[index] if model.config.combine == "gated" else 1.0
                new = new + weight * EXPERTS[name](expert, u, x0)
        u = new
    return apply_towers(model, model.tower[leave], u)


LOGITS: dict[str, Logits] = {
    "fm": fm,
    "deepfm": deepfm,
    "nfm": nfm,
    "xdeepfm": xdeepfm,
    "afn": afn,
    "fibinet": fibinet,
    "dcn": dcn,
    "dcnv2": dcnv2,
    "gcn": gdcn,
    "gdcn_s": gdcn,
    "gdcn_p": gdcn,
    "xdeepint": polynomial,
    "dynint": polynomial,
    "adaensemble": adaensemble,
}
