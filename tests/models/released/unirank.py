"""HeMix as UniRank built it (Songcheng-Ren/UniRank, be133c2): a third party's reading of the paper.

Weights of theirs are put in the place of ours, laid out as ours are; so gradients reach theirs.
``[H, ..]``, ``[N, ..]`` and ``[Q, ..]`` stacks act as ``x @ W`` there as here; ``WK``, ``WV``,
``WO`` and ``W_t`` have torch's ``[out, in]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hemix.models.data.toy import toy_spec
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.mixed import MixedAttentionShape, MixedHeteroAttention
from hemix.models.layers.per_token import HeteroFFN
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.mixing import HeteroMixing
from hemix.models.rankers.hemix.model import HeMix, Tokenizer
from hemix.models.rankers.hemix.variants import block_of
from tests.models.released_vectors import Case, adapter

MIXING = {"left": "W_l", "left_bias": "b_l", "right": "W_r", "right_bias": "b_r"}
FFN = {"up": "W1", "up_bias": "b1", "down": "W2", "down_bias": "b2"}
NORMS = {"mixing_norm": "mix_norm", "ffn_norm": "ffn_norm"}
Weights = dict[str, Tensor]


def finish(case: Case, out: Tensor, leaves: Mapping[str, Tensor]) -> None:
    """Hold the output, and the gradients of its product with the file's ``R``."""
    case.equal("out", out)
    case.gradients((case.read("R") * out).sum(), leaves)


def put(module: nn.Module, weights: Weights, *inputs: Any) -> Any:
    """The module's output with ``weights`` in place of all its own."""
    missing = {name for name, own in module.named_parameters() if own.numel()} - set(weights)
    assert not missing, missing
    return functional_call(module.double().eval(), weights, inputs)


def mixing_shape(w_l: Tensor, tokens: int) -> dict[str, Any]:
    """The configuration that ``W_l [H, N*D/H, R]`` shows."""
    heads, mixed, rank = w_l.shape
    return {"token_width": mixed * heads // tokens, "mix_heads": heads, "rank": rank}


@adapter("HeteroMixing")
def mixing(case: Case) -> None:
    leaves = case.leaves(["X", *MIXING.values()])
    tokens = leaves["X"].shape[1]
    config = HeMixConfig(attention_heads=1, **mixing_shape(leaves["W_l"], tokens))
    weights = {ours: leaves[theirs] for ours, theirs in MIXING.items()}
    finish(case, put(HeteroMixing(config, tokens), weights, leaves["X"]), leaves)


@adapter("HeteroFFN")
def ffn(case: Case) -> None:
    leaves = case.leaves(["X", *FFN.values()])
    weights = {ours: leaves[theirs] for ours, theirs in FFN.items()}
    module = HeteroFFN(*leaves["W1"].shape)
    finish(case, put(module, weights, leaves["X"]), leaves)


def block_weights(leaves: Mapping[str, Tensor], number: int) -> Weights:
    """Ours of one block."""
    mixing = {f"mixing.{ours}": leaves[f"{theirs}_{number}"] for ours, theirs in MIXING.items()}
    tokens = {f"ffn.{ours}": leaves[f"{theirs}_{number}"] for ours, theirs in FFN.items()}
    norms = {
        f"{ours}.{part}": leaves[f"{theirs}_{mark}_{number}"]
        for ours, theirs in NORMS.items()
        for part, mark in (("weight", "g"), ("bias", "b"))
    }
    return {**mixing, **tokens, **norms}


BLOCK_KEYS = r"((mix|ffn)_norm_[gb]|W_[lr]|b_[lr]|[Wb][12])_\d+"


@adapter("HeteroMixer blocks")
def blocks(case: Case) -> None:
    leaves = case.leaves(["X", *case.keys(BLOCK_KEYS)])
    x = leaves["X"]
    config = block_config(leaves, tokens=x.shape[1], attention_heads=1)
    for number in range(config.blocks):
        x = put(block_of(config, x.shape[1]), block_weights(leaves, number), x)
    finish(case, x, leaves)


def block_config(leaves: Mapping[str, Tensor], *, tokens: int, **others: Any) -> HeMixConfig:
    """Their blocks: LayerNorm before each part, none behind the last."""
    _, width, hidden = leaves["W1_0"].shape
    return HeMixConfig(
        norm="pre_layer",
        blocks=sum(key.startswith("W_l_") for key in leaves),
        ffn_expansion=hidden // width,
        **mixing_shape(leaves["W_l_0"], tokens),
        **others,
    )


def jagged(s_BLD: Tensor, lengths: Tensor | None = None) -> Events:
    """The first events of every row, all of them without ``lengths``."""
    rows, most = s_BLD.shape[:2]
    lengths = torch.full((rows,), most) if lengths is None else lengths
    there = torch.arange(most) < lengths[:, None]
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return Events(values=s_BLD[there], offsets=offsets)


def attention_weights(leaves: Mapping[str, Tensor], mark: str = "") -> Weights:
    return {
        "query": leaves[f"WQ{mark}"],
        "key": leaves[f"WK{mark}"].T,
        "value": leaves[f"WV{mark}"].T,
        "out": leaves[f"WO{mark}"].T,
    }


class Read(nn.Module):
    """An attention over padded events ``[B, L, D]``; only the first ``lengths`` of a row are read."""

    def __init__(self, shape: MixedAttentionShape, lengths: Tensor | None) -> None:
        super().__init__()
        self.attention, self.lengths = MixedHeteroAttention(shape), lengths

    def forward(self, s_BLD: Tensor, q_BQD: Tensor) -> Tensor:
        return self.attention.read(jagged(s_BLD, self.lengths), q_BQD)


def attention(case: Case, lengths: Tensor | None, **null: Any) -> Tensor:
    """What all queries read, each row's as its dynamic ones; gradients are compared, too."""
    leaves = case.leaves(["S", "Q", "WQ", "WK", "WV", "WO"])
    queries, width, _ = leaves["WQ"].shape
    shape = MixedAttentionShape(
        width=width,
        event_width=leaves["S"].shape[2],
        heads=case.hyper["A"],
        dynamic=queries,
        fixed=0,
        **null,
    )
    weights = {f"attention.{name}": weight for name, weight in attention_weights(leaves).items()}
    out: Tensor = put(Read(shape, lengths), weights, leaves["S"], leaves["Q"])
    finish(case, out, leaves)
    return out


@adapter("Mixed Hetero Attention on rows without padding")
def attention_of_full_rows(case: Case) -> None:
    attention(case, None, null_item=False)


@adapter("Mixed Hetero Attention with UniRank's padding")
def attention_with_their_padding(case: Case) -> None:
    """Only ``null_form=padding`` equals it (test_unirank.py says what ours does)."""
    places = case.arrays["S"].shape[1]
    attention(case, case.read("lengths"), learned_null=False, places=places)


TOKENIZER = ["W_t", "b_t", "t_norm_g", "t_norm_b"]


def tokenizer_weights(leaves: Mapping[str, Tensor], request: int) -> Weights:
    weight = leaves["W_t"].permute(2, 0, 1).flatten(1)
    return {
        "request_weight": weight[:request],
        "item_weight": weight[request:],
        "bias": leaves["b_t"].flatten(),
        "norm.gain": leaves["t_norm_g"],
        "norm.shift": leaves["t_norm_b"],
    }


class Tokens(nn.Module):
    """Fields ``[B, F]``, half of them a request's, to tokens."""

    def __init__(self, fields: int, config: HeMixConfig) -> None:
        super().__init__()
        self.request = fields // 2
        self.tokenizer = Tokenizer(self.request, fields - self.request, config)

    def forward(self, e_BF: Tensor) -> Tensor:
        state = self.tokenizer.request(e_BF[:, : self.request])
        tokens: Tensor = self.tokenizer(state, e_BF[:, self.request :])
        return tokens


@adapter("Auto-split tokenizer")
def tokenizer(case: Case) -> None:
    leaves = case.leaves(["e", *TOKENIZER])
    count, width, fields = leaves["W_t"].shape
    one: dict[str, Any] = {"sequences": "global", "feed_ns": False} if count == 1 else {}
    config = HeMixConfig(
        token_width=width,
        attention_heads=1,
        mix_heads=1,
        dynamic_global=max(1, count - 1),
        dynamic_realtime=1,
        **one,
    )
    module = Tokens(fields, config)
    weights = tokenizer_weights(leaves, module.request)
    named = {f"tokenizer.{name}": weight for name, weight in weights.items()}
    finish(case, put(module, named, leaves["e"]), leaves)


class Trunk(nn.Module):
    """A HeMix from its fields' embeddings and projected events to what the towers read."""

    def __init__(self, fields: int, config: HeMixConfig) -> None:
        super().__init__()
        self.tokens = Tokens(fields, config)
        model = HeMix(toy_spec(), config)
        self.attention, self.blocks, self.norm = model.attention, model.blocks, model.norm
        self.model = (model,)  # a tuple: its other weights are not asked for

    def forward(self, e_BF: Tensor, *sequences: Tensor) -> Tensor:
        (model,) = self.model
        t_ns = self.tokens(e_BF)
        both = zip(model._interests(), sequences, model._groups(t_ns), strict=True)
        x_BND = model._joined([one.read(jagged(s), group) for one, s, group in both], t_ns)
        for block in model.blocks:
            x_BND = block(x_BND)
        return model._readout(model.norm(x_BND))[0]


@adapter("The whole trunk")
def trunk(case: Case) -> None:
    sides = {"G": "global", "R": "realtime"}
    keys = [f"{name}_{side}" for side in sides for name in ("E", "fixed", "WQ", "WK", "WV", "WO")]
    leaves = case.leaves(["e", *TOKENIZER, *keys, *case.keys(BLOCK_KEYS)])
    fixed = {side: leaves[f"fixed_{side}"].shape[1] for side in sides}
    counts = {side: len(leaves[f"WQ_{side}"]) - fixed[side] for side in sides}
    config = block_config(
        leaves,
        tokens=leaves["W1_0"].shape[0],
        attention_heads=case.hyper["A"],
        item_projection="separate",
        null_item=False,
        **{f"dynamic_{name}": counts[side] for side, name in sides.items()},
        **{f"fixed_{name}": fixed[side] for side, name in sides.items()},
    )
    module = Trunk(leaves["W_t"].shape[2], config)
    named = {
        f"tokens.tokenizer.{name}": weight
        for name, weight in tokenizer_weights(leaves, module.tokens.request).items()
    }
    for at, side in enumerate(sides):
        weights = {**attention_weights(leaves, f"_{side}"), "fixed": leaves[f"fixed_{side}"][0]}
        named |= {f"attention.{at}.{name}": weight for name, weight in weights.items()}
    for number in range(config.blocks):
        weights = block_weights(leaves, number)
        named |= {f"blocks.{number}.{name}": weight for name, weight in weights.items()}
    finish(case, put(module, named, leaves["e"], leaves["E_G"], leaves["E_R"]), leaves)
