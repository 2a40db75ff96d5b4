"""RankMixer and TokenMixer-Large, one row, one token and one head at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.layers.per_token import TokenMixerLargeBlock, TokenSwiGLU
from hemix.models.rankers.mixers.rankmixer import RankMixer, RankMixerBlock
from hemix.models.rankers.mixers.token_mixing import SemanticTokenizer, TokenMixingRanker
from hemix.models.rankers.mixers.tokenmixer_large import TokenMixerLarge
from tests.models.rankers.interactions.reference_interaction import normed, token_ffn
from tests.models.rankers.reference_vectors import apply_towers, every_row


def rankmixer_logits(model: RankMixer, batch: Batch) -> dict[str, Tensor]:
    def logits(x: list[Tensor], row: int) -> dict[str, Tensor]:
        tokens = tokenized(model.tokenizer, x)
        for block in model.blocks:
            assert isinstance(block, RankMixerBlock)
            tokens = rankmixer(block, tokens)
        return read_out(model, tokens)

    return every_row(model, batch, logits)


def tokenmixer_large_logits(model: TokenMixerLarge, batch: Batch) -> dict[str, Tensor]:
    """With a residual from the input of every ``residual_every`` blocks."""

    def logits(x: list[Tensor], row: int) -> dict[str, Tensor]:
        tokens = tokenized(model.whole, x) + tokenized(model.tokenizer, x)
        entered, every = tokens, model.config.residual_every
        for number, block in enumerate(model.blocks):
            assert isinstance(block, TokenMixerLargeBlock)
            tokens = mix_revert(block, tokens)
            if every and (number + 1) % every == 0:
                tokens = [a + b for a, b in zip(tokens, entered, strict=True)]
                entered = tokens
        return read_out(model, tokens)

    return every_row(model, batch, logits)


def tokenized(tokenizer: SemanticTokenizer, x: list[Tensor]) -> list[Tensor]:
    """The first piece's vectors, the second's, ..., each through its own layer."""
    tokens, start = [], 0
    for size, layer in zip(tokenizer.pieces, tokenizer.project, strict=True):
        assert isinstance(layer, torch.nn.Linear)
        tokens.append(layer.weight @ torch.cat(x[start : start + size]) + layer.bias)
        start += size
    assert start == len(x)
    return tokens


def mixed(tokens: list[Tensor]) -> list[Tensor]:
    """Token h is head h of all tokens."""
    size = len(tokens[0]) // len(tokens)
    return [
        torch.cat([token[h * size : (h + 1) * size] for token in tokens])
        for h in range(len(tokens))
    ]


def reverted(tokens: list[Tensor]) -> list[Tensor]:
    """Head h of token n is what token h holds at place n."""
    size = len(tokens[0]) // len(tokens)
    return [
        torch.cat([token[n * size : (n + 1) * size] for token in tokens])
        for n in range(len(tokens))
    ]


def rankmixer(block: RankMixerBlock, tokens: list[Tensor]) -> list[Tensor]:
    both = zip(mixed(tokens), tokens, strict=True)
    tokens = [normed(block.mixing_norm, a + b) for a, b in both]
    return [
        normed(block.ffn_norm, token_ffn(block.ffn, token, n) + token)
        for n, token in enumerate(tokens)
    ]


def mix_revert(block: TokenMixerLargeBlock, tokens: list[Tensor]) -> list[Tensor]:
    m = [
        token + swiglu(block.mixed, normed(block.mixed_norm, token), n)
        for n, token in enumerate(mixed(tokens))
    ]
    return [
        token + swiglu(block.own, normed(block.own_norm, back), n)
        for n, (token, back) in enumerate(zip(tokens, reverted(m), strict=True))
    ]


def swiglu(module: TokenSwiGLU, x: Tensor, n: int) -> Tensor:
    gate = x @ module.gate[n]
    return ((x @ module.up[n]) * gate * torch.sigmoid(gate)) @ module.down[n]


def read_out(model: TokenMixingRanker, tokens: list[Tensor]) -> dict[str, Tensor]:
    if model.shape.readout == "flatten":
        return apply_towers(model, model.tower, torch.cat(tokens))
    total = torch.zeros_like(tokens[0])
    for token in tokens:
        total = total + token / len(tokens)
    return apply_towers(model, model.tower, total)
