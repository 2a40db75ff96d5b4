"""TokenMixer-Large: mix, a network a token, revert, a network a token.

Paper: Jiang et al., "TokenMixer-Large: Scaling Up Large Ranking Models in Industrial Recommenders", KDD 2026,
arXiv 2602.06563. Tokens are T - 1 semantic ones (:mod:`hemix.models.rankers.mixers.token_mixing`) after a global one,
which is a projection of all vectors. Block:

    M  = mix(X)                          head h of all tokens becomes token h, H = T
    M' = M + pSwiGLU(RMS(M))             weights of its own for every token
    X' = X + pSwiGLU(RMS(revert(M')))    revert: the exact inverse of mix
    pSwiGLU(x) = W_down ((W_up x) * SiLU(W_gate x))      W_down starts at N(0, 0.01)

Every ``residual_every`` blocks the tokens that entered them are added once more. Logits from the
mean of the tokens. INFERRED: how the global token is made, a residual every 2 blocks (the paper:
every 2 or 3), no norm after the last block, the sequence as DIN's interest. Left out: the heads
that the paper trains on the tokens of inner blocks (with the inter-block residual they gain .04 % of
AUC at 4 * 10^9 parameters) and the sparse mixture of experts.

Axes: B batch, V vectors, E embedding width, T tokens, D token width, K = ffn_expansion * D.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.per_token import TokenMixerLargeBlock
from hemix.models.rankers.mixers.token_mixing import (
    SemanticTokenizer,
    TokenMixingConfig,
    TokenMixingRanker,
    pieces_of,
)
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class TokenMixerLargeConfig(TokenMixingConfig):
    """Shape of a TokenMixer-Large; ``tokens`` counts the global token too."""

    search: ClassVar[Space] = {
        **TokenMixingConfig.search,
        "token_width": Choice(choices=(32, 72, 128)),
        "ffn_expansion": Range(low=1, high=3),
        "residual_every": Choice(choices=(None, 2)),
    }

    token_width: int = Field(default=72, ge=1)
    """D: width of a token; a multiple of `tokens`."""
    ffn_expansion: int = Field(default=1, ge=1)
    """Hidden width of a token's SwiGLU network, in token widths."""
    residual_every: int | None = Field(default=2, ge=1)
    """Blocks from one inter-block residual to the next; null: no such residual."""


class TokenMixerLarge(TokenMixingRanker):
    """TokenMixer-Large (Jiang et al., KDD 2026); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> model = TokenMixerLarge(toy_spec(), TokenMixerLargeConfig(tokens=8, token_width=8))
        >>> model(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "tokenmixer_large"
    config_type = TokenMixerLargeConfig

    def __init__(self, spec: FeatureSpec, config: TokenMixerLargeConfig) -> None:
        super().__init__(spec, config)
        self.config = config
        width, pieces = config.embedding.width, pieces_of(self.groups, config.tokens - 1)
        self.tokenizer = SemanticTokenizer(pieces, width, config.token_width)
        self.whole = SemanticTokenizer([sum(self.groups)], width, config.token_width)
        shape = config.tokens, config.token_width, config.ffn_expansion * config.token_width
        self.blocks = nn.ModuleList(
            TokenMixerLargeBlock(*shape, config.dropout) for _ in range(config.blocks)
        )

    def tokenize(self, x_BVE: Tensor) -> Tensor:
        """The global token, then the semantic ones."""
        return torch.cat([self.whole(x_BVE), self.tokenizer(x_BVE)], 1)

    def mix(self, x_BTD: Tensor) -> Tensor:
        before_BTD, every = x_BTD, self.config.residual_every
        for index, block in enumerate(self.blocks, 1):
            x_BTD = block(x_BTD)
            if every is not None and index % every == 0:
                x_BTD = before_BTD = x_BTD + before_BTD
        return x_BTD

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        c, d = self.config, self.config.token_width
        tokenizer = 4 * sum(self.groups) * c.embedding.width * d
        return self.flops_of(tokenizer, 2 * 6 * c.ffn_expansion * c.tokens * d * d)
