"""Every choice of a HeMix, the faithful ones as defaults and the ablations beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hemix.models.rankers.base import RankerConfig
from hemix.models.tuning.early_stopping import Choice, Range, Space

SequenceName = Literal["global", "realtime"]


class HeMixConfig(RankerConfig):
    """Shape of a HeMix; letters as in the legend of :mod:`hemix.models.rankers.hemix.model`.

    ``crosses`` DCN V2 layers interact the fields bit by bit before the split (the paper interacts,
    then splits; how, is not public). ``positions`` adds a learned vector of its recency to each
    event. ``norm`` places the blocks' norms; ``token_norm`` is the tokenizer's LayerNorm; ``readout`` is
    the mean of the tokens or all of them side by side. The tokenizer's brings tokens of new, small
    embeddings to unit scale and their noise with them: on logs of some 10^5 rows the model is
    better without it (docs/decisions/0004-training-recipe.md).

    Choices that the paper leaves open; the form of each is INFERRED.
    ``tokenizer_hidden``: width of a first, SiLU layer of the tokenizer, after the crosses.
    ``query_source``: the dynamic queries are the NS tokens, or tokens made beside them by a
    projection of their ``own``; ``feed_ns=False`` does not give the NS tokens to the mixer again, and
    makes none for a sequence that is not read. ``share_keys``: WK and WV of the global sequence read
    the real-time one too; null items stay apart. ``query_residual``: ``O = LN(Q + attention)``, a norm
    a sequence. ``encode_events``: one Transformer layer over each sequence before anything reads it;
    no candidate changes it, its time grows with the square of the length. ``mix_activation``: of
    HeteroMixing. ``candidate_interest``: DIN's interest of the candidate in each sequence stands among
    the item's fields, before the crosses; it compares candidate and events in the table that they
    share, which no query does (not the paper's: see docs/model-zoo.md for what it is worth).
    ``ffn``: of HeteroMixer's tokens; ``swiglu`` has three matrices of the same size
    instead of two. Two more ``readout``: ``task``, a learned token a task goes through the mixer behind
    the others and its tower reads it alone; ``ns``, the mean of the NS tokens. With these two the last
    block works out tokens that nobody reads.

    The rest are ablations (docs/model-zoo.md says what each is worth); each leaves the
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
    readout: Literal["mean", "flatten", "task", "ns"] = "mean"
    tokenizer_hidden: int | None = Field(default=None, ge=1)
    query_source: Literal["tokens", "own"] = "tokens"
    feed_ns: bool = True
    share_keys: bool = False
    query_residual: bool = False
    encode_events: bool = False
    candidate_interest: bool = False
    mix_activation: Literal["relu", "gelu", "silu"] = "relu"
    ffn: Literal["gelu", "swiglu"] = "gelu"
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
        """NS tokens, N_G + N_R (or that of the sequence that is read, when they are not fed)."""
        return sum(self._group(name) for name in self._grouped)

    @property
    def made(self) -> int:
        """Tokens of the tokenizer: the NS tokens, then the dynamic queries of their own."""
        own = self.read if self.query_source == "own" else ()
        return self.dynamic + sum(self._group(name) for name in own)

    @property
    def tokens(self) -> int:
        """N: what is read from the sequences, and the NS tokens that are fed.

        The tokens of ``readout=task`` come on top; how many there are, the tasks say.
        """
        fed = self.dynamic if self.feed_ns else 0
        return sum(self.interest_tokens(name) for name in self.read) + fed

    @property
    def read(self) -> tuple[SequenceName, ...]:
        """The sequences that are read, the global one first."""
        return ("global", "realtime") if self.sequences == "both" else (self.sequences,)

    def queries(self, name: SequenceName) -> tuple[int, int]:
        """Dynamic and fixed queries of a sequence."""
        fixed = self.fixed_global if name == "global" else self.fixed_realtime
        return self._group(name) if self.dynamic_queries else 0, fixed

    def asking(self, name: SequenceName) -> slice:
        """Which of the tokenizer's tokens ask a sequence that is read."""
        own = self.query_source == "own"
        names = self.read if own else self._grouped
        before = sum(self._group(other) for other in names[: names.index(name)])
        first = before + (self.dynamic if own else 0)
        return slice(first, first + self._group(name))

    def interest_tokens(self, name: SequenceName) -> int:
        """Tokens that a sequence becomes."""
        return sum(self.queries(name)) if self._attends else 1

    def _group(self, name: SequenceName) -> int:
        """NS tokens of a sequence's group."""
        return self.dynamic_global if name == "global" else self.dynamic_realtime

    @property
    def _grouped(self) -> tuple[SequenceName, ...]:
        """The sequences that have a group of NS tokens."""
        return ("global", "realtime") if self.feed_ns else self.read

    @property
    def _attends(self) -> bool:
        return self.interest in ("mixed", "recent")

    @model_validator(mode="after")
    def _consistent(self) -> HeMixConfig:
        for name in ("attention_heads", "mix_heads"):
            if self.token_width % getattr(self, name):
                raise ValueError(f"token_width {self.token_width} is not a multiple of {name}")
        for clash, message in self._clashes():
            if clash:
                raise ValueError(message)
        for name in self.read:
            if not self.interest_tokens(name):
                raise ValueError(f"no query reads the {name} sequence: leave it out by sequences")
        if self.readout != "task":  # those of the tasks are not known here
            self.require_split(self.tokens)
        return self

    def require_split(self, tokens: int) -> None:
        """Raise ValueError when the mixer cannot split a token among ``tokens``."""
        if self.mixer in ("rankmixer", "tokenmixer_large") and self.token_width % tokens:
            raise ValueError(
                f"mixer {self.mixer} splits token_width {self.token_width} among {tokens} "
                "tokens: it must be a multiple of that"
            )

    def _clashes(self) -> Iterator[tuple[bool, str]]:
        """What does not fit together, and how to mend it."""
        asked = self._attends and self.dynamic_queries
        mixes = self.blocks > 0 and self.mixer != "none"
        reading = "interest=mixed or recent"
        yield (
            self.query_source == "own" and not asked,
            f"query_source=own makes dynamic queries: set {reading} and dynamic_queries=true",
        )
        yield (
            self.query_source == "own" and not self.feed_ns,
            "query_source=own leaves the NS tokens to feed_ns=false, and so to nobody: set "
            "query_source=tokens or feed_ns=true",
        )
        yield (
            not (self.feed_ns or asked or self.interest == "din"),
            "feed_ns=false hides the fields from the model when no dynamic query is made of them: "
            f"set feed_ns=true, or dynamic_queries=true and {reading}, or interest=din",
        )
        yield (
            self.share_keys and not (self._attends and self.sequences == "both"),
            f"share_keys needs two sequences that are attended to: set sequences=both and {reading}",
        )
        yield (
            self.query_residual and not self._attends,
            f"query_residual needs queries: set {reading}",
        )
        yield (
            self.interest == "recent" and not any(self.queries(name)[1] for name in self.read),
            "interest=recent asks with the last fixed_global and fixed_realtime events, and these are "
            "0: set one of them, or interest=mixed",
        )
        yield (
            self.mix_activation != "relu" and self.mixer != "hetero",
            f"mix_activation={self.mix_activation} is HeteroMixing's: set mixer=hetero",
        )
        yield (
            self.ffn != "gelu" and self.mixer == "tokenmixer_large",
            f"ffn={self.ffn} has no place in mixer=tokenmixer_large, which is made of SwiGLU: set "
            "ffn=gelu or another mixer",
        )
        yield (
            self.readout == "ns" and not self.feed_ns,
            "readout=ns reads the NS tokens behind the mixer: set feed_ns=true",
        )
        yield (
            self.readout in ("task", "ns") and not mixes,
            f"readout={self.readout} reads tokens that learn of the sequences by mixing alone: set "
            "blocks to 1 or more and a mixer other than none",
        )
