"""Every choice of a HeMix, the faithful ones as defaults and the ablations beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hemix.models.rankers.refined import RefinedConfig
from hemix.models.search_space import Choice, Range, Space

SequenceName = Literal["global", "realtime"]


class HeMixConfig(RefinedConfig):
    """Shape of a HeMix; letters as in the legend of :mod:`hemix.models.rankers.hemix.model`.

    The paper's choices are the defaults, except where it is silent: those forms are INFERRED. The
    rest are ablations (docs/model-zoo.md says what each is worth); each leaves the other parts as
    they are.
    """

    search: ClassVar[Space] = {
        **RefinedConfig.search,
        "token_width": Choice(choices=(32, 64, 128)),
        "rank": Choice(choices=(8, 16, 32)),
        "crosses": Range(low=0, high=2),
        "blocks": Range(low=1, high=3),
        "norm": Choice(choices=("post_layer", "pre_layer", "pre_rms", "none")),
        "token_norm": Choice(choices=(True, False)),
        "readout": Choice(choices=("mean", "flatten")),
    }

    token_width: int = Field(default=64, ge=1)
    """D: width of a token; a multiple of `attention_heads` and `mix_heads`."""
    dynamic_global: int = Field(default=2, ge=1)
    """N_G: NS tokens that act as queries of the global sequence."""
    dynamic_realtime: int = Field(default=2, ge=1)
    """N_R: NS tokens that act as queries of the real-time sequence."""
    fixed_global: int = Field(default=2, ge=0)
    """Learned queries of the global sequence, the same for every request."""
    fixed_realtime: int = Field(default=2, ge=0)
    """Learned queries of the real-time sequence, the same for every request."""
    attention_heads: int = Field(default=2, ge=1)
    """A: heads of the attention over a sequence."""
    mix_heads: int = Field(default=4, ge=1)
    """H: heads of HeteroMixing."""
    rank: int | None = Field(default=16, ge=1)
    """R: rank of a mixing head's matrix; null: one full matrix per head."""
    crosses: int = Field(default=0, ge=0)
    """DCN V2 layers over the fields before they are split into NS tokens (the paper interacts, then
    splits; how is not public)."""
    blocks: int = Field(default=2, ge=0)
    """Mixing blocks."""
    ffn_expansion: int = Field(default=2, ge=1)
    """K: hidden width of a token's feed-forward network, in token widths."""
    norm: Literal["post_layer", "pre_layer", "pre_rms", "none"] = "post_layer"
    """The blocks' norms: LayerNorm behind each residual; LayerNorm before each part and none behind
    the last block; RMSNorm before each part and one more behind the last block; or none."""
    token_norm: bool = True
    """The tokenizer's LayerNorm. It brings tokens of new, small embeddings to unit scale, and their
    noise with them: on logs of some 10^5 rows the model is better without it
    (docs/decisions/0004-training-recipe.md)."""
    readout: Literal["mean", "flatten", "task", "ns"] = "mean"
    """What the towers read: the mean of all tokens, all of them side by side (flatten), one learned
    token per task that goes through the mixer (task), or the mean of the NS tokens (ns)."""
    tokenizer_hidden: int | None = Field(default=None, ge=1)
    """Width of a hidden SiLU layer of the tokenizer, after the crosses; null: none."""
    query_source: Literal["tokens", "own"] = "tokens"
    """What the dynamic queries are: the NS tokens, or tokens with a projection of their own."""
    feed_ns: bool = True
    """Whether the NS tokens are inputs of the mixer too; false: they act as queries only, and only
    for sequences that are read."""
    share_keys: bool = False
    """WK and WV of the global sequence also read the real-time one; the null items stay separate.
    """
    query_residual: bool = False
    """Add the query to its attention output, with one LayerNorm per sequence."""
    encode_events: bool = False
    """One Transformer layer over each sequence before the queries read it; its time grows with the
    square of the length."""
    candidate_interest: bool = False
    """Adds DIN's interest of the candidate in each sequence to the item's fields, before the
    crosses (not the paper's; docs/model-zoo.md has its worth)."""
    mix_activation: Literal["relu", "gelu", "silu"] = "relu"
    """Activation inside HeteroMixing."""
    ffn: Literal["gelu", "swiglu"] = "gelu"
    """The tokens' feed-forward networks; swiglu has three matrices of the same size instead of two.
    """
    item_projection: Literal["merged", "separate"] = "merged"
    """Whether the projection of events to token width is part of WK and WV (merged) or a layer
    before them."""
    null_item: bool = True
    """A learned event before each sequence, which queries may attend to when no event fits."""
    null_form: Literal["learned", "zero", "padding"] = "learned"
    """What the null item is: a learned key and value; zeros; or zeros once for every place that a
    history leaves empty, as in models that do not mask their padding."""
    stacked_init: Literal["slices", "stack"] = "slices"
    """Xavier's bound of weights that stand in a stack (queries', mixing's and FFNs'): by the fans of
    each slice, or as torch counts a 3-D weight, with the stack as a fan, which is smaller."""
    small_output_init: bool = False
    """Initialise the blocks' last matrices small, so that each block starts near the identity."""
    recompute: bool = False
    """Activation checkpointing: training keeps each block's input alone and computes the rest again
    for the backward pass. Less memory, one more forward pass through the blocks, the same gradients.
    """
    positions: bool = False
    """Adds a learned vector of its recency to each event."""
    sequences: Literal["both", "global", "realtime"] = "both"
    """Which sequences are read."""
    interest: Literal["mixed", "recent", "mean", "din"] = "mixed"
    """What reads a sequence: mixed queries, mixed queries whose fixed part is the most recent
    events (LONGER), the mean of the events, or DIN."""
    dynamic_queries: bool = True
    """Whether there are dynamic queries beside the fixed ones."""
    query_projection: Literal["own", "shared"] = "own"
    """WQ: one per query (own), or one for all queries of a sequence."""
    mixer: Literal["hetero", "transformer", "rankmixer", "tokenmixer_large", "none"] = "hetero"
    """The mixing block: HeteroMixing, another paper's block in its place, or none."""
    shared_mixing: bool = False
    """The same mixing weights for all heads."""
    reconstruction: bool = True
    """Whether mixed heads return to the tokens that they came from; false: in memory order, as in
    RankMixer."""
    shared_ffn: bool = False
    """One feed-forward network for all tokens instead of one per token."""

    @property
    def dynamic(self) -> int:
        """NS tokens, N_G + N_R (or that of the sequence that is read, when they are not fed)."""
        return sum(self._group(name) for name in self._grouped)

    @property
    def num_tokenizer_outputs(self) -> int:
        """Tokens of the tokenizer: the NS tokens, then the dynamic queries of their own."""
        own = self.active_sequences if self.query_source == "own" else ()
        return self.dynamic + sum(self._group(name) for name in own)

    @property
    def tokens(self) -> int:
        """N: what is read from the sequences, and the NS tokens that are fed.

        The tokens of ``readout=task`` come on top; how many there are, the tasks say.
        """
        fed = self.dynamic if self.feed_ns else 0
        return sum(self.interest_tokens(name) for name in self.active_sequences) + fed

    @property
    def pre_norm(self) -> bool:
        """Whether norms stand before the parts of a block."""
        return self.norm.startswith("pre_")

    @property
    def active_sequences(self) -> tuple[SequenceName, ...]:
        """The sequences that are read, the global one first."""
        return ("global", "realtime") if self.sequences == "both" else (self.sequences,)

    def queries(self, name: SequenceName) -> tuple[int, int]:
        """Dynamic and fixed queries of a sequence."""
        fixed = self.fixed_global if name == "global" else self.fixed_realtime
        return self._group(name) if self.dynamic_queries else 0, fixed

    def query_slice(self, name: SequenceName) -> slice:
        """Slice of the tokenizer's outputs that are the dynamic queries of sequence ``name``."""
        own = self.query_source == "own"
        names = self.active_sequences if own else self._grouped
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
        return ("global", "realtime") if self.feed_ns else self.active_sequences

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
        for name in self.active_sequences:
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
            self.null_form != "learned" and not (self.null_item and self._attends),
            f"null_form={self.null_form} needs a null item: set null_item=true and {reading}",
        )
        yield (
            self.query_residual and not self._attends,
            f"query_residual needs queries: set {reading}",
        )
        yield (
            self.interest == "recent"
            and not any(self.queries(name)[1] for name in self.active_sequences),
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
