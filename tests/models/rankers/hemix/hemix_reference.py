"""HeMix and its ablations, one row, one token and one event at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.embedding.target_attention import SequenceInterest
from hemix.models.layers.attention.mixed import MixedHeteroAttention
from hemix.models.layers.per_token import HeteroFFN, TokenMixerLargeBlock, TokenSwiGLU
from hemix.models.rankers.hemix.mixing import HeteroMixing
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.rankers.hemix.variants import (
    DINInterest,
    EventEncoder,
    HeteroSwiGLU,
    MeanInterest,
    RecentQueries,
    SelfAttention,
)
from tests.models.rankers.reference import (
    apply_mlp,
    apply_tower,
    cross,
    events_of,
    field_vectors,
    layer_norm,
)
from tests.models.rankers.reference_vectors import interest as din_interest


@torch.no_grad()
def hemix_logits(model: HeMix, batch: Batch) -> dict[str, list[float]]:
    """The forward pass of merged item projections, row by row."""
    config = model.config
    result: dict[str, list[float]] = {task.name: [] for task in model.spec.tasks}
    for row in range(batch.size):
        made = made_tokens(model, batch, row)
        ns, own = made[: config.dynamic], made[config.dynamic :]
        sizes = {"global": config.dynamic_global, "realtime": config.dynamic_realtime}
        all_grouped = config.feed_ns and not own
        asking, groups = list(own or ns), {}
        for name, size in sizes.items():
            if all_grouped or name in config.active_sequences:
                groups[name], asking = asking[:size], asking[size:]
        assert asking == []
        read = []
        for number, (name, module) in enumerate(
            zip(config.active_sequences, model.attention, strict=True)
        ):
            kv_source = model.attention[0] if config.share_keys else module
            found = events(model, batch, row, number)
            read.append(interest(module, groups[name], found, kv_source))
        tokens = [token for part in reversed(read) for token in part]
        if config.feed_ns:
            tokens += ns
        if config.readout == "task":
            tokens += list(model.task_tokens)
        for block in model.blocks:
            tokens = mix(block, tokens, pre=config.norm in ("pre_layer", "pre_rms"))
        if config.norm == "pre_rms":
            tokens = [normed(model.norm, token) for token in tokens]
        for number, task in enumerate(result):
            if config.readout == "mean":
                u = torch.stack(tokens).mean(0)
            elif config.readout == "flatten":
                u = torch.cat(tokens)
            elif config.readout == "ns":
                u = sum(tokens[n] for n in range(len(tokens) - len(ns), len(tokens))) / len(ns)
            else:
                u = tokens[len(tokens) - len(result) + number]
            result[task].append(float(apply_tower(model.tower[task], u)))
    return result


def made_tokens(model: HeMix, batch: Batch, row: int) -> list[Tensor]:
    """(b) Interact, then split: NS tokens, then queries of their own."""
    config, tokenizer = model.config, model.tokenizer
    x0 = torch.cat(
        field_vectors(model, batch, row, ("user", "context"))
        + field_vectors(model, batch, row, ("item",))
        + candidate_interests(model, batch, row)
    )
    x = x0
    for layer in tokenizer.crosses:
        x = cross(layer, x0, x)
    z = x @ torch.cat([tokenizer.request_weight, tokenizer.item_weight]) + tokenizer.bias
    if tokenizer.second is not None:
        z = tokenizer.second.weight @ (z * torch.sigmoid(z)) + tokenizer.second.bias
    ns = []
    for n in range(len(z) // config.token_width):
        part = z[n * config.token_width : (n + 1) * config.token_width]
        if config.token_norm:
            part = layer_norm(part) * tokenizer.norm.gain[n] + tokenizer.norm.shift[n]
        ns.append(part * torch.sigmoid(part))
    return ns


def candidate_interests(model: HeMix, batch: Batch, row: int) -> list[Tensor]:
    """DIN's interest in each sequence that is read, column by column."""
    found = []
    for one in model.candidate:
        assert isinstance(one, SequenceInterest)
        index = [s.name for s in model.spec.sequences].index(one.sequence.name)
        found += din_interest(model, one, events_of(model, batch, row, index), batch, row)
    return found


def events(model: HeMix, batch: Batch, row: int, number: int) -> list[Tensor]:
    """(a) The events of a sequence, oldest first; each with the vector of its recency."""
    index = ("global", "realtime").index(model.config.active_sequences[number])
    found = [torch.cat(event) for event in events_of(model, batch, row, index)]
    if model.config.positions:
        last = len(found) - 1
        found = [event + model.positions[number][last - at] for at, event in enumerate(found)]
    if model.config.encode_events:
        found = encoded(model.encoders[number], found)
    return found


def encoded(layer: EventEncoder, found: list[Tensor]) -> list[Tensor]:
    """One Transformer layer over a row's events."""
    seen = [normed(layer.attention_norm, event) for event in found] if layer.pre else found
    read = self_attention(layer, seen)
    out = []
    for event, other in zip(found, read, strict=True):
        if layer.pre:
            event = event + other
            out.append(event + ffn(layer.ffn, normed(layer.ffn_norm, event), 0))
        else:
            event = normed(layer.attention_norm, event + other)
            out.append(normed(layer.ffn_norm, event + ffn(layer.ffn, event, 0)))
    return out


def interest(
    module: torch.nn.Module, ns: list[Tensor], found: list[Tensor], kv_source: torch.nn.Module
) -> list[Tensor]:
    """(c, d) What a sequence becomes; keys and values are the ``kv_source``'s."""
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
    assert isinstance(kv_source, MixedHeteroAttention)
    read = attend(module, queries, found, kv_source)
    if module.norm is None:
        return read
    return [normed(module.norm, query + o) for query, o in zip(queries, read, strict=True)]


def attend(
    attention: MixedHeteroAttention,
    queries: list[Tensor],
    found: list[Tensor],
    kv_source: MixedHeteroAttention,
) -> list[Tensor]:
    """Mixed Hetero Attention of one row, head by head."""
    width = attention.out.shape[0]
    keys = [event @ kv_source.key for event in found]
    values = [event @ kv_source.value for event in found]
    if attention.null is not None:
        times = 1 if attention.places is None else attention.places - len(found)
        keys = [attention.null[0]] * times + keys
        values = [attention.null[1]] * times + values
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
        u = activated(module.activation, g @ module.left[own] + module.left_bias[own])
        mixed.append(u @ module.right[own] + module.right_bias[own])
    if not module.aligned:
        flat = torch.cat(mixed)
        return [flat[n * width : (n + 1) * width] for n in range(len(tokens))]
    return [
        torch.cat([back[n * size : (n + 1) * size] for back in mixed]) for n in range(len(tokens))
    ]


def activated(name: str, x: Tensor) -> Tensor:
    if name == "relu":
        return x.clamp(min=0)
    share = torch.sigmoid(x) if name == "silu" else 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x * share


def self_attention(module: SelfAttention | EventEncoder, tokens: list[Tensor]) -> list[Tensor]:
    size = module.qkv.shape[2] // module.heads
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
    if isinstance(module, HeteroSwiGLU):
        hidden = h * activated("silu", x @ module.gate[own] + module.gate_bias[own])
    else:
        hidden = activated("gelu", h)
    return hidden @ module.down[own] + module.down_bias[own]


def normed(norm: torch.nn.Module, x: Tensor) -> Tensor:
    """LayerNorm, RMSNorm or none of one token."""
    if isinstance(norm, torch.nn.Identity):
        return x
    if isinstance(norm, torch.nn.RMSNorm):
        epsilon = norm.eps or torch.finfo(x.dtype).eps
        return x / torch.sqrt((x * x).mean() + epsilon) * norm.weight
    return layer_norm(x) * norm.weight + norm.bias
