"""RankMixer: token mixing without parameters, a network of its own for every token.

Paper: Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
arXiv 2507.15551. Vectors become T semantic tokens (:mod:`hemix.models.rankers.mixers.token_mixing`). Block:

    mix(X)[h] = [x_1^(h) ; ... ; x_T^(h)]       head h of all tokens becomes token h, H = T   eq. 3, 4
    S  = LN(mix(X) + X)                                                                      eq. 5
    X' = LN(PFFN(S) + S)                        GELU, weights of its own for every token     eq. 6

Logits from the mean of the tokens. The equation numbers are INFERRED; so are the tower's place and
the sequence as DIN's interest (papers compare "RankMixer + DIN"). The sparse mixture of experts of
the paper's section 3.4 is not here: it serves models of 10^9 parameters.

Axes: B batch, V vectors, E embedding width, T tokens, D token width, K = ffn_expansion * D.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.per_token import HeteroFFN, fuse
from hemix.models.rankers.mixers.token_mixing import (
    SemanticTokenizer,
    TokenMixingConfig,
    TokenMixingRanker,
    pieces_of,
)
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec


class RankMixerConfig(TokenMixingConfig):
    """Shape of a RankMixer."""

    search: ClassVar[Space] = {
        **TokenMixingConfig.search,
        "norm": Choice(choices=(True, False)),
    }

    norm: bool = True
    """Whether a block has its LayerNorms."""


class RankMixerBlock(nn.Module):
    """``[B, T, D] -> [B, T, D]``.

    Example:
        >>> import torch
        >>> RankMixerBlock(RankMixerConfig(tokens=4, token_width=8))(torch.zeros(2, 4, 8)).shape
        torch.Size([2, 4, 8])
    """

    def __init__(self, config: RankMixerConfig) -> None:
        super().__init__()
        width = config.token_width
        self.ffn = HeteroFFN(config.tokens, width, config.ffn_expansion * width)
        self.mixing_norm, self.ffn_norm = (
            nn.LayerNorm(width) if config.norm else nn.Identity() for _ in range(2)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        s_BTD = self.mixing_norm(fuse(x_BTD, x_BTD.shape[1]) + x_BTD)
        y_BTD: Tensor = self.ffn_norm(self.dropout(self.ffn(s_BTD)) + s_BTD)
        return y_BTD


class RankMixer(TokenMixingRanker):
    """RankMixer (Zhu et al., CIKM 2025); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> model = RankMixer(toy_spec(), RankMixerConfig(tokens=4, token_width=8))
        >>> model(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "rankmixer"
    config_type = RankMixerConfig

    def __init__(self, spec: FeatureSpec, config: RankMixerConfig) -> None:
        super().__init__(spec, config)
        self.config = config
        pieces = pieces_of(self.groups, config.tokens)
        self.tokenizer = SemanticTokenizer(pieces, config.embedding.width, config.token_width)
        self.blocks = nn.Sequential(*[RankMixerBlock(config) for _ in range(config.blocks)])

    def tokenize(self, x_BVE: Tensor) -> Tensor:
        tokens: Tensor = self.tokenizer(x_BVE)
        return tokens

    def mix(self, x_BTD: Tensor) -> Tensor:
        mixed: Tensor = self.blocks(x_BTD)
        return mixed

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        c, d = self.config, self.config.token_width
        tokenizer = 2 * sum(self.groups) * c.embedding.width * d
        return self.flops_of(tokenizer, 4 * c.ffn_expansion * c.tokens * d * d)
