"""DLRM, AutoInt, Wukong and Hiformer, one row and one loop at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.layers.per_token import HeteroFFN
from hemix.models.rankers.interactions.autoint import AutoInt, InteractingLayer
from hemix.models.rankers.interactions.dlrm import DLRM
from hemix.models.rankers.interactions.hiformer import CompositeAttention, Hiformer
from hemix.models.rankers.interactions.wukong import FactorizationBlock, Wukong, WukongLayer
from tests.models.rankers.reference import apply_mlp, apply_tower, layer_norm
from tests.models.rankers.reference_vectors import apply_towers, every_row


def dlrm_logits(model: DLRM, batch: Batch) -> dict[str, Tensor]:
    """Products of all pairs, those among the request's vectors first, then the rest by row."""

    def logits(x: list[Tensor], row: int) -> dict[str, Tensor]:
        last: list[Tensor] = []
        if model.bottom is not None:
            sides = (("user", "context"), ("item",))
            numeric = [f for side in sides for f in model.spec.numeric if f.side in side]
            numbers = torch.stack([batch.numbers[f.name][row] for f in numeric])
            last = [apply_mlp(model.bottom, numbers)]
        x = x + last
        if model.config.interaction == "dot":
            products = [x[i] @ x[j] for i in range(len(x)) for j in range(i)]
            flat = torch.cat([torch.stack(products), *last])
        else:
            flat = torch.cat(x)
        return apply_towers(model, model.tower, apply_mlp(model.top, flat))

    return every_row(model, batch, logits)


def autoint_logits(model: AutoInt, batch: Batch) -> dict[str, Tensor]:
    """Interacting layers vector by vector, beside the deep network."""

    def logits(x: list[Tensor], row: int) -> dict[str, Tensor]:
        y = x
        for layer in model.attention:
            assert isinstance(layer, InteractingLayer)
            y = interacting(layer, y)
        deep = [apply_mlp(model.deep, torch.cat(x))] if model.deep is not None else []
        return apply_towers(model, model.tower, torch.cat([*y, *deep]))

    return every_row(model, batch, logits)


def interacting(layer: InteractingLayer, x: list[Tensor]) -> list[Tensor]:
    """Eq. 5 to 8 of AutoInt."""
    query, key, value, residual = layer.weight
    size = query.shape[1] // layer.heads
    out = []
    for one in x:
        heads = []
        for head in range(layer.heads):
            part = slice(head * size, (head + 1) * size)
            scores = [math.exp(float((one @ query)[part] @ (other @ key)[part])) for other in x]
            read = torch.zeros(size)
            for score, other in zip(scores, x, strict=True):
                read = read + score / sum(scores) * (other @ value)[part]
            heads.append(read)
        out.append((torch.cat(heads) + one @ residual).clamp(min=0))
    return out


def wukong_logits(model: Wukong, batch: Batch) -> dict[str, Tensor]:
    """Layer by layer, each new vector by itself."""

    def logits(x: list[Tensor], row: int) -> dict[str, Tensor]:
        for layer in model.layers:
            assert isinstance(layer, WukongLayer)
            x = wukong_layer(layer, x)
        return apply_towers(model, model.tower, apply_mlp(model.final, torch.cat(x)))

    return every_row(model, batch, logits)


def wukong_layer(layer: WukongLayer, x: list[Tensor]) -> list[Tensor]:
    new = machines(layer.machines, x) + [combined(row, x) for row in layer.compress]
    kept = x if layer.residual is None else [combined(row, x) for row in layer.residual]
    return [normed(layer.norm, a + b) for a, b in zip(new, kept, strict=True)]


def machines(block: FactorizationBlock, x: list[Tensor]) -> list[Tensor]:
    """Products of each vector with k combinations of all of them, through the MLP."""
    combinations = [combined(column, x) for column in block.y.T]
    products = torch.stack([one @ other for one in x for other in combinations])
    flat = apply_mlp(block.mlp, normed(block.norm, products))
    out = block.out.weight @ flat + block.out.bias
    size = len(x[0])
    return [out[i * size : (i + 1) * size] for i in range(len(out) // size)]


def combined(weights: Tensor, x: list[Tensor]) -> Tensor:
    total = torch.zeros_like(x[0])
    for weight, vector in zip(weights, x, strict=True):
        total = total + weight * vector
    return total


def hiformer_logits(model: Hiformer, batch: Batch) -> dict[str, Tensor]:
    """Every layer for all of its tokens, the last one for the tasks'."""

    def logits(x: list[Tensor], row: int) -> dict[str, Tensor]:
        tokens = [*model.task, *x]
        for layer in model.layers:
            read = composite(layer.attention, tokens)
            tokens = [
                normed(layer.attention_norm, token + y)
                for token, y in zip(tokens[: layer.rows], read, strict=True)
            ]
            tokens = [
                normed(layer.ffn_norm, token + token_ffn(layer.ffn, token, n))
                for n, token in enumerate(tokens)
            ]
        tasks = model.spec.tasks
        return {
            task.name: apply_tower(model.tower[task.name], tokens[n])
            for n, task in enumerate(tasks)
        }

    return every_row(model, batch, logits)


def composite(attention: CompositeAttention, tokens: list[Tensor]) -> list[Tensor]:
    """Queries, keys and values of all tokens together, head by head."""
    flat, size = torch.cat(tokens), attention.size
    heads = []
    for head in range(len(attention.query)):
        q, k, v = (
            (flat @ attention.left[place, head] @ right[head]).split(size)
            for place, right in enumerate((attention.query, attention.key, attention.value))
        )
        rows = []
        for query in q:
            scores = [math.exp(float(query @ key) / math.sqrt(size)) for key in k]
            read = torch.zeros(size)
            for score, value in zip(scores, v, strict=True):
                read = read + score / sum(scores) * value
            rows.append(read)
        heads.append(rows)
    return [torch.cat(parts) for parts in zip(*heads, strict=True)]


def token_ffn(ffn: HeteroFFN, x: Tensor, n: int) -> Tensor:
    h = x @ ffn.up[n] + ffn.up_bias[n]
    hidden = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
    return hidden @ ffn.down[n] + ffn.down_bias[n]


def normed(norm: torch.nn.Module, x: Tensor) -> Tensor:
    """LayerNorm, RMSNorm or none of one vector."""
    if isinstance(norm, torch.nn.Identity):
        return x
    if isinstance(norm, torch.nn.RMSNorm):
        epsilon = norm.eps or torch.finfo(x.dtype).eps
        return x / torch.sqrt((x * x).mean() + epsilon) * norm.weight
    assert isinstance(norm, torch.nn.LayerNorm)
    return layer_norm(x) * norm.weight + norm.bias
