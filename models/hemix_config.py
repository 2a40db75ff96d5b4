"""Every choice of a HeMix, the faithful ones as defaults and the ablations beside them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from models.ranker import RankerConfig
from models.search import Choice, Range, Space

SequenceName = Literal["global", "realtime"]


class HeMixConfig(RankerConfig):
    """Shape of a HeMix; letters as in the legend of :mod:`models.hemix`.

    ``crosses`` DCN V2 layers interact the fields bit by bit before the split (the paper interacts,
    then splits; how, is not public). ``positions`` adds a learned vector of its recency to each
    event. ``norm`` places the blocks' norms; ``token_norm`` is the tokenizer's LayerNorm; ``readout`` is
    the mean of the tokens or all of them side by side. The tokenizer's brings tokens of new, small
    embeddings to unit scale and their noise with them: on logs of some 10^5 rows the model is
    better without it (docs/decisions/0004-training-recipe.md).

    The rest are ablations (section 3.5 of the specification: docs/model-zoo.md); each leaves the
    other parts as they are. ``sequences``: which are read. ``interest``: what reads them, mixed
    queries, mixed queries whose fixed part is the most recent events (LONGER), a mean, or DIN.
    ``dynamic_queries=False`` leaves the fixed ones alone, ``fixed_*=0`` the dynamic ones.
    ``query_projection``: one for each query or one for all. ``mixer``: HeteroMixing or what stands
    in its block's place. ``rank=None``: one full matrix a head; ``shared_mixing``: the same weights
    for all heads; ``reconstruction=False``: mixed heads go back to tokens in the order in which
    they lie, as in RankMixer. ``shared_ffn``: one FFN for all tokens.
    """

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "token_width": Choice(choices=(32, 64, 128)),
        "rank": Choice(choices=(8, 16, 32)),
        "crosses": Range(low=0, high=2),
        "blocks": Range(low=1, high=3),
        "norm": Choice(choices=("post_layer", "pre_rms", "none")),
        "token_norm": Choice(choices=(True, False)),
        "readout": Choice(choices=("mean", "flatten")),
    }

    token_width: int = Field(default=64, ge=1)
    dynamic_global: int = Field(default=2, ge=1)
    dynamic_realtime: int = Field(default=2, ge=1)
    fixed_global: int = Field(default=2, ge=0)
    fixed_realtime: int = Field(default=2, ge=0)
    attention_heads: int = Field(default=2, ge=1)
    mix_heads: int = Field(default=4, ge=1)
    rank: int | None = Field(default=16, ge=1)
    crosses: int = Field(default=0, ge=0)
    blocks: int = Field(default=2, ge=0)
    ffn_expansion: int = Field(default=2, ge=1)
    norm: Literal["post_layer", "pre_rms", "none"] = "post_layer"
    token_norm: bool = True
    readout: Literal["mean", "flatten"] = "mean"
    item_projection: Literal["merged", "separate"] = "merged"
    null_item: bool = True
    small_output_init: bool = False
    positions: bool = False
    sequences: Literal["both", "global", "realtime"] = "both"
    interest: Literal["mixed", "recent", "mean", "din"] = "mixed"
    dynamic_queries: bool = True
    query_projection: Literal["own", "shared"] = "own"
    mixer: Literal["hetero", "transformer", "rankmixer", "tokenmixer_large", "none"] = "hetero"
    shared_mixing: bool = False
    reconstruction: bool = True
    shared_ffn: bool = False

    @property
    def dynamic(self) -> int:
        """NS tokens, N_G + N_R."""
        return self.dynamic_global + self.dynamic_realtime

    @property
    def tokens(self) -> int:
        """N: what is read from the sequences, and the NS tokens."""
        return sum(self.interest_tokens(name) for name in self.read) + self.dynamic

    @property
    def read(self) -> tuple[SequenceName, ...]:
        """The sequences that are read, the global one first."""
        return ("global", "realtime") if self.sequences == "both" else (self.sequences,)

    def queries(self, name: SequenceName) -> tuple[int, int]:
        """Dynamic and fixed queries of a sequence."""
        dynamic, fixed = (
            (self.dynamic_global, self.fixed_global)
            if name == "global"
            else (self.dynamic_realtime, self.fixed_realtime)
        )
        return dynamic if self.dynamic_queries else 0, fixed

    def interest_tokens(self, name: SequenceName) -> int:
        """Tokens that a sequence becomes."""
        return sum(self.queries(name)) if self.interest in ("mixed", "recent") else 1

    @model_validator(mode="after")
    def _consistent(self) -> HeMixConfig:
        for name in ("attention_heads", "mix_heads"):
            if self.token_width % getattr(self, name):
                raise ValueError(f"token_width {self.token_width} is not a multiple of {name}")
        if self.mixer in ("rankmixer", "tokenmixer_large") and self.token_width % self.tokens:
            raise ValueError(
                f"mixer {self.mixer} splits token_width {self.token_width} among {self.tokens} "
                "tokens: it must be a multiple of that"
            )
        for name in self.read:
            if not self.interest_tokens(name):
                raise ValueError(f"no query reads the {name} sequence: leave it out by sequences")
        return self
