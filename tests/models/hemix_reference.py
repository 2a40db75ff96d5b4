"""HeMix and its ablations, one row, one token and one event at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.attention.mixed import MixedHeteroAttention
from models.batch import Batch
from models.hemix import HeMix, HeteroFFN, HeteroMixing
from models.hemix_variants import (
    DINInterest,
    MeanInterest,
    RecentQueries,
    SelfAttention,
    TokenMixerLargeBlock,
    TokenSwiGLU,
)
from tests.models.reference import (
    apply_mlp,
    apply_tower,
    cross,
    events_of,
    field_vectors,
    layer_norm,
)


@torch.no_grad()
def hemix_logits(model: HeMix, batch: Batch) -> dict[str, list[float]]:
    """The forward pass of merged item projections, row by row."""
    config = model.config
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    for row in range(batch.size):
        ns = ns_tokens(model, batch, row)
        groups = {"global": ns[: config.dynamic_global], "realtime": ns[config.dynamic_global :]}
        read = [
            interest(module, groups[name], events(model, batch, row, number))
            for number, (name, module) in enumerate(zip(config.read, model.attention, strict=True))
        ]
        tokens = [token for part in reversed(read) for token in part] + ns
        for block in model.blocks:
            tokens = mix(block, tokens, pre=config.norm == "pre_rms")
        if config.norm == "pre_rms":
            tokens = [normed(model.norm, token) for token in tokens]
        u = torch.stack(tokens).mean(0) if config.readout == "mean" else torch.cat(tokens)
        for task in result:
            result[task].append(float(apply_tower(model.tower[task], u)))
    return result


def ns_tokens(model: HeMix, batch: Batch, row: int) -> list[Tensor]:
    """(b) Interact, then split."""
    config, tokenizer = model.config, model.tokenizer
    x0 = torch.cat(
        field_vectors(model, batch, row, ("user", "context"))
        + field_vectors(model, batch, row, ("item",))
    )
    x = x0
    for layer in tokenizer.crosses:
        x = cross(layer, x0, x)
    z = x @ torch.cat([tokenizer.request_weight, tokenizer.item_weight]) + tokenizer.bias
    ns = []
    for n in range(config.dynamic):
        part = z[n * config.token_width : (n + 1) * config.token_width]
        if config.token_norm:
            part = layer_norm(part) * tokenizer.norm.gain[n] + tokenizer.norm.shift[n]
        ns.append(part * torch.sigmoid(part))
    return ns


def events(model: HeMix, batch: Batch, row: int, number: int) -> list[Tensor]:
    """(a) The events of a sequence, oldest first; each with the vector of its recency."""
    index = ("global", "realtime").index(model.config.read[number])
    found = [torch.cat(event) for event in events_of(model, batch, row, index)]
    if model.config.positions:
        last = len(found) - 1
        found = [event + model.positions[number][last - at] for at, event in enumerate(found)]
    return found


def interest(module: torch.nn.Module, ns: list[Tensor], found: list[Tensor]) -> list[Tensor]:
    """(c, d) What a sequence becomes."""
    if isinstance(module, MeanInterest):
        total = torch.zeros(len(module.value))
        for event in found:
            total = total + event / len(found)
        return [total @ module.value]
    if isinstance(module, DINInterest):
        target = sum(ns) / len(ns)
        token = torch.zeros_like(target)
        for event in found:
            h = event @ module.value
            inputs = torch.cat([h, target, h - target, h * target])
            weight = module.out.weight[0] @ apply_mlp(module.score, inputs) + module.out.bias[0]
            token = token + weight * h
        return [token]
    assert isinstance(module, MixedHeteroAttention)
    queries = list(ns[: module.dynamic])
    if isinstance(module, RecentQueries):
        for back in range(module.count):
            there = back < len(found)
            event = found[-1 - back] if there else torch.zeros(len(module.recent))
            queries.append(event @ module.recent)
    else:
        queries += list(module.fixed)
    return attend(module, queries, found)


def attend(
    attention: MixedHeteroAttention, queries: list[Tensor], found: list[Tensor]
) -> list[Tensor]:
    """Mixed Hetero Attention of one row, head by head."""
    width = attention.out.shape[0]
    keys = [event @ attention.key for event in found]
    values = [event @ attention.value for event in found]
    if attention.null is not None:
        keys, values = [attention.null[0], *keys], [attention.null[1], *values]
    size = width // attention.heads
    out = []
    for position, query in enumerate(queries):
        q = query @ attention.query[position if len(attention.query) > 1 else 0]
        heads = []
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            scores = [float(q[part] @ key[part]) / math.sqrt(size) for key in keys]
            total = sum(math.exp(score) for score in scores)
            read = torch.zeros(size)
            for score, value in zip(scores, values, strict=True):
                read = read + math.exp(score) / total * value[part]
            heads.append(read)
        out.append(torch.cat(heads) @ attention.out)
    return out


def mix(block: torch.nn.Module, tokens: list[Tensor], *, pre: bool) -> list[Tensor]:
    """(f) One block."""
    if isinstance(block, TokenMixerLargeBlock):
        return tokenmixer_large(block, tokens)
    if block.mixing is not None:
        if pre:
            mixed = mixing(block.mixing, [normed(block.mixing_norm, token) for token in tokens])
            tokens = [x + y for x, y in zip(tokens, mixed, strict=True)]
        else:
            mixed = mixing(block.mixing, tokens)
            both = zip(tokens, mixed, strict=True)
            tokens = [normed(block.mixing_norm, x + y) for x, y in both]
    out = []
    for n, token in enumerate(tokens):
        if pre:
            out.append(token + ffn(block.ffn, normed(block.ffn_norm, token), n))
        else:
            out.append(normed(block.ffn_norm, token + ffn(block.ffn, token, n)))
    return out


def mixing(module: torch.nn.Module, tokens: list[Tensor]) -> list[Tensor]:
    """What a token gets from the others."""
    if isinstance(module, HeteroMixing):
        return hetero(module, tokens)
    if isinstance(module, SelfAttention):
        return self_attention(module, tokens)
    return token_mixing(tokens)


def hetero(module: HeteroMixing, tokens: list[Tensor]) -> list[Tensor]:
    heads, width = module.heads, len(tokens[0])
    size = width // heads
    mixed = []
    for m in range(heads):
        own = 0 if len(module.left) == 1 else m
        g = torch.cat([token[m * size : (m + 1) * size] for token in tokens])
        u = (g @ module.left[own] + module.left_bias[own]).clamp(min=0)
        mixed.append(u @ module.right[own] + module.right_bias[own])
    if not module.aligned:
        flat = torch.cat(mixed)
        return [flat[n * width : (n + 1) * width] for n in range(len(tokens))]
    return [
        torch.cat([back[n * size : (n + 1) * size] for back in mixed]) for n in range(len(tokens))
    ]


def self_attention(module: SelfAttention, tokens: list[Tensor]) -> list[Tensor]:
    size = len(tokens[0]) // module.heads
    q, k, v = ([token @ weight for token in tokens] for weight in module.qkv)
    out = []
    for n in range(len(tokens)):
        heads = []
        for head in range(module.heads):
            part = slice(head * size, (head + 1) * size)
            scores = torch.tensor([float(q[n][part] @ key[part]) / math.sqrt(size) for key in k])
            weights = scores.exp() / scores.exp().sum()
            heads.append(sum(w * value[part] for w, value in zip(weights, v, strict=True)))
        out.append(torch.cat(heads) @ module.out)
    return out


def token_mixing(tokens: list[Tensor]) -> list[Tensor]:
    """Token h is head h of all tokens."""
    size = len(tokens[0]) // len(tokens)
    return [
        torch.cat([token[h * size : (h + 1) * size] for token in tokens])
        for h in range(len(tokens))
    ]


def tokenmixer_large(block: TokenMixerLargeBlock, tokens: list[Tensor]) -> list[Tensor]:
    mixed = [
        m + swiglu(block.mixed, normed(block.mixed_norm, m), n)
        for n, m in enumerate(token_mixing(tokens))
    ]
    back = token_mixing(mixed)  # the permutation is its own inverse
    return [
        token + swiglu(block.own, normed(block.own_norm, r), n)
        for n, (token, r) in enumerate(zip(tokens, back, strict=True))
    ]


def swiglu(module: TokenSwiGLU, x: Tensor, n: int) -> Tensor:
    gate = x @ module.gate[n]
    return ((x @ module.up[n]) * gate * torch.sigmoid(gate)) @ module.down[n]


def ffn(module: HeteroFFN, x: Tensor, n: int) -> Tensor:
    own = 0 if len(module.up) == 1 else n
    h = x @ module.up[own] + module.up_bias[own]
    hidden = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
    return hidden @ module.down[own] + module.down_bias[own]


def normed(norm: torch.nn.Module, x: Tensor) -> Tensor:
    """LayerNorm, RMSNorm or none of one token."""
    if isinstance(norm, torch.nn.Identity):
        return x
    if isinstance(norm, torch.nn.RMSNorm):
        epsilon = norm.eps or torch.finfo(x.dtype).eps
        return x / torch.sqrt((x * x).mean() + epsilon) * norm.weight
    return layer_norm(x) * norm.weight + norm.bias
