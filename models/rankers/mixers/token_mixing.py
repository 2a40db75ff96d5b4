"""What RankMixer and TokenMixer-Large share: few wide tokens, mixed without parameters.

Semantic tokenisation (RankMixer, arXiv 2507.15551, sec. 3.2): the vectors of a row, ordered by
meaning, are cut into pieces and each piece is projected to a token of width D. The meaning here is
the side a vector belongs to, a piece never crosses from one to the next, and larger sides get more
tokens (INFERRED: the papers group by hand).

Axes: B batch, V vectors of a row, E embedding width, T tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hemix.errors import DefinitionError
from hemix.models.layers.dense import mlp_flops
from hemix.models.rankers.vector import VectorRanker, VectorRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class TokenMixingConfig(VectorRankerConfig):
    """Shape that RankMixer and TokenMixer-Large share."""

    search: ClassVar[Space] = {
        **VectorRankerConfig.search,
        "token_width": Choice(choices=(32, 64, 128)),
        "blocks": Range(low=1, high=3),
        "ffn_expansion": Range(low=1, high=4),
        "readout": Choice(choices=("mean", "flatten")),
    }

    interest: Literal["mean", "din"] = "din"
    """What a history becomes: the mean of its events, or DIN's interest of the candidate."""
    tokens: int = Field(default=8, ge=1)
    """T: semantic tokens; `token_width` must be a multiple."""
    token_width: int = Field(default=64, ge=1)
    """D: width of a token."""
    blocks: int = Field(default=2, ge=1)
    """Blocks of mixing and token networks."""
    ffn_expansion: int = Field(default=4, ge=1)
    """Hidden width of a token's network, in token widths."""
    readout: Literal["mean", "flatten"] = "mean"
    """What the towers read: the mean of the tokens, as in the papers, or all side by side
    (flatten)."""
    tower: tuple[int, ...] = (64,)
    """Hidden widths of each task's own MLP."""

    @model_validator(mode="after")
    def _divisible(self) -> TokenMixingConfig:
        if self.token_width % self.tokens:
            raise ValueError(f"token_width {self.token_width} is not a multiple of tokens")
        return self


def pieces_of(groups: Sequence[int], tokens: int) -> list[int]:
    """How many vectors make each of ``tokens`` tokens, none of which crosses a group.

    Every group has a token; each further one goes to the group with the most vectors a token.

    Raises:
        DefinitionError: more groups than tokens, or more tokens than vectors.

    Example:
        >>> pieces_of([36, 39, 5, 5], 8)
        [12, 12, 12, 13, 13, 13, 5, 5]
    """
    if not len(groups) <= tokens <= sum(groups):
        raise DefinitionError(
            f"{sum(groups)} vectors in {len(groups)} groups do not make {tokens} tokens.",
            hint=f"Set model.tokens between {len(groups)} and {sum(groups)}.",
        )
    counts = [1] * len(groups)
    for _ in range(tokens - len(groups)):
        load = [n / count for n, count in zip(groups, counts, strict=True)]
        counts[load.index(max(load))] += 1
    return [
        n // count + (index < n % count)
        for n, count in zip(groups, counts, strict=True)
        for index in range(count)
    ]


class SemanticTokenizer(nn.Module):
    """``[B, V, E] -> [B, T, D]``: a linear layer of its own for every piece.

    Example:
        >>> SemanticTokenizer([2, 3], 4, 8)(torch.zeros(7, 5, 4)).shape
        torch.Size([7, 2, 8])
    """

    def __init__(self, pieces: Sequence[int], width: int, token_width: int) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.project = nn.ModuleList(nn.Linear(n * width, token_width) for n in pieces)
        for layer in self.project:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_BVE: Tensor) -> Tensor:
        parts = torch.split(x_BVE, self.pieces, 1)
        both = zip(self.project, parts, strict=True)
        return torch.stack([layer(part.flatten(1)) for layer, part in both], 1)


class TokenMixingRanker(VectorRanker):
    """Tokens, blocks, readout, a tower a task; a subclass defines ``tokenize`` and ``mix``."""

    def __init__(self, spec: FeatureSpec, config: TokenMixingConfig) -> None:
        super().__init__(spec, config)
        self.shape = config
        self.tower = self.towers(self._readout_width, config)

    @property
    def _readout_width(self) -> int:
        tokens = self.shape.tokens if self.shape.readout == "flatten" else 1
        return tokens * self.shape.token_width

    def tokenize(self, x_BVE: Tensor) -> Tensor:
        """``[B, V, E] -> [B, T, D]``."""
        raise NotImplementedError

    def mix(self, x_BTD: Tensor) -> Tensor:
        """All blocks: ``[B, T, D] -> [B, T, D]``."""
        raise NotImplementedError

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        x_BTD = self.mix(self.tokenize(x_BVE))
        u = x_BTD.mean(1) if self.shape.readout == "mean" else x_BTD.flatten(1)
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_of(self, tokenizer: int, block: int) -> dict[str, int]:
        """The whole count from that of the tokenizer and of one block."""
        request, candidate = self.input_flops()
        candidate += tokenizer + self.shape.blocks * block
        candidate += len(self.tower) * mlp_flops(self._readout_width, (*self.shape.tower, 1))
        return {"request": request, "candidate": candidate}
