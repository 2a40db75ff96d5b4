"""HeMix: query-mixed interest extraction, then heterogeneous token mixing. The whole model.

Paper: Wang et al., "Query-Mixed Interest Extraction and Heterogeneous Interaction" (HeMix),
arXiv 2602.09387. Its body was not open to the authors of this file; what is marked INFERRED below
is a reconstruction from public notes and from the layout whose parameter count is published.

Axes: B batch · N tokens · L events of a sequence · D token width (d_T) · H mixing heads, d = D/H ·
A attention heads, a = D/A · Q queries of one sequence (dynamic then fixed) · F embedding width of
all fields (D_ns) · S embedding width of one event (D_s) · R rank (d_r) · K = ffn_expansion * D.
X stands for one of the sequences G (global) and R (real-time).

    (a) e_ns [B,F], e_X [B,L,S]: embeddings                                             eq. 2, 3
    (b) T_ns = SiLU(LN(split(cross(e_ns) W_t + b_t)))           [B, N_G+N_R, D]         eq. 4, 5
    (c) Q_X  = [T_X ; fixed_X]                                  [B, Q, D]               eq. 8-10
    (d) q_i  = Q_X[i] WQ_X[i] ;  K = e_X WK_X ;  V = e_X WV_X ; a null item (k0, v0) is prepended
        O_X  = concat_heads(softmax(q K' / sqrt(a)) V) WO_X     [B, Q, D]               eq. 11-14
    (e) X0   = [O_R ; O_G ; T_ns]                               [B, N, D]               eq. 15
    (f) block: G_m = [x_1^(m) ; ... ; x_N^(m)]                  fusion                  eq. 16
               G'_m = WR_m ReLU(WL_m G_m)                       rank R a head           eq. 17
               Y[n] = [G'_1[n] ; ... ; G'_H[n]]                 reconstruction          eq. 18
               S = LN(X + Y) ;  X' = LN(S + FFN_n(S))           FFN a token, GELU       eq. 19, 20
    (g) u = mean_n X_L[n] ;  logit_task = tower_task(u)                                 eq. 21

Each part has alternatives (models/rankers/hemix/config.py); what is more than a line of them stands in
models/rankers/hemix/variants.py.

The equation numbers are INFERRED. INFERRED too: in (b) no or a few cross layers, one linear layer
with LayerNorm and SiLU; the item projection merged into WK and WV, the null item, the norms' place,
GELU and K, the mean readout, one tower per task over all impressions. Attested: two query kinds over
two sequences, own query projections with shared keys and values, the three-stage mixing of rank R,
a per-token FFN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.utils.checkpoint import checkpoint

from hemix.models.data.batch import Batch
from hemix.models.embedding.target_attention import Encoded, Interests
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.mixed import Interest
from hemix.models.layers.attention.reading import layout_of
from hemix.models.layers.dense import CrossLayer, split_axis, xavier_slices_
from hemix.models.layers.refinement.named import refinement, refinements_of
from hemix.models.objective_config import ObjectiveConfig
from hemix.models.pictures import Look, Picture
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker
from hemix.models.rankers.hemix.attention_weights import attention_pictures
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.flops import flops
from hemix.models.rankers.hemix.variants import EventEncoder, block_of, interests_of
from hemix.models.training_config import TrainingConfig
from hemix.spec import FeatureSpec, SequenceFeature

CANDIDATE_HIDDEN = (32, 16)
BRANCHES = ("fields",)
"""What reads field vectors: the tokenizer, once they are refined."""


class TokenNorm(nn.Module):
    """LayerNorm over the width, with gains and shifts of its own for every token."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(tokens, width))
        self.shift = nn.Parameter(torch.zeros(tokens, width))

    def forward(self, z_BND: Tensor) -> Tensor:
        return fn.layer_norm(z_BND, z_BND.shape[-1:]) * self.gain + self.shift


@dataclass(frozen=True, kw_only=True)
class RequestFields:
    """Request-side state of the tokenizer, reused for all candidates.

    Attributes:
        fields: ``e_request [B or 1, F_request]``.
        product: ``fields`` times the request's rows of the first weight: ``W_t``, or that of a
            hidden or cross layer before it; None before the fields are refined with the item's.
        sequence_states: encoded events of DIN's interests; empty unless ``candidate_interest``.
    """

    fields: Tensor
    product: Tensor | None
    sequence_states: tuple[Encoded, ...] = ()


class Tokenizer(nn.Module):
    """(b) Interact, then split: ``SiLU(LN(split(cross(e_ns) W_t + b_t)))``, the norm's gains a token.

    ``W_t`` is kept as a part for user and context and a part for the item, so that a request's
    part is computed once: ``z = e_request W_request + e_item W_item + b``. With crosses it is the
    first layer's product that is shared; what follows it mixes both sides. With ``tokenizer_hidden``
    these weights lead to the hidden layer, and ``second`` is ``W_t``. Behind the NS tokens it makes
    the dynamic queries when they have a projection of their own.
    """

    def __init__(self, request_width: int, item_width: int, config: HeMixConfig) -> None:
        super().__init__()
        tokens, width, hidden = (
            config.num_tokenizer_outputs,
            config.token_width,
            config.tokenizer_hidden,
        )
        self.split, self.inputs = (tokens, width), (request_width, item_width)
        shape = (tokens, width) if hidden is None else (1, hidden)
        weight = xavier_slices_(torch.empty(shape[0], request_width + item_width, shape[1]))
        flat = weight.permute(1, 0, 2).flatten(1)
        self.request_weight = nn.Parameter(flat[:request_width].clone())
        self.item_weight = nn.Parameter(flat[request_width:].clone())
        self.bias = nn.Parameter(torch.zeros(flat.shape[1]))
        self.norm = TokenNorm(tokens, width) if config.token_norm else nn.Identity()
        self.crosses = nn.ModuleList(
            [CrossLayer(request_width + item_width) for _ in range(config.crosses)]
        )
        self.second = None if hidden is None else nn.Linear(hidden, tokens * width)
        if self.second is not None:
            xavier_slices_(self.second.weight.data.view(tokens, width, -1))
            nn.init.zeros_(self.second.bias)

    def request(self, e_request: Tensor) -> RequestFields:
        """The request's share of :meth:`forward` from ``e_request [B or 1, F_request]``."""
        if not self.crosses:
            return RequestFields(fields=e_request, product=e_request @ self.request_weight)
        weight = self._first_cross().weight[:, : e_request.shape[1]]
        return RequestFields(fields=e_request, product=fn.linear(e_request, weight))

    def forward(self, request: RequestFields, item: Tensor) -> Tensor:
        """The request's share and item embeddings ``[B, F_item]`` -> tokens ``[B, N_ns, D]``."""
        assert request.product is not None
        if self.crosses:
            z = self._crossed(request, item, request.product)
        else:
            z = request.product + item @ self.item_weight
        z = z + self.bias
        if self.second is not None:
            z = self.second(fn.silu(z))
        return fn.silu(self.norm(split_axis(z, -1, self.split)))

    def _crossed(self, request: RequestFields, item: Tensor, product: Tensor) -> Tensor:
        width, first = request.fields.shape[1], self._first_cross()
        x0 = torch.cat([request.fields.expand(len(item), -1), item], 1)
        x = x0 * (product + fn.linear(item, first.weight[:, width:], first.bias)) + x0
        for layer in self.crosses[1:]:
            x = layer(x0, x)
        return x @ torch.cat([self.request_weight, self.item_weight])

    def _first_cross(self) -> nn.Linear:
        layer = self.crosses[0]
        assert isinstance(layer, CrossLayer)
        return layer.linear


@dataclass(frozen=True, kw_only=True)
class RequestState:
    """One request's share of the forward pass: tokenizer part, and each sequence's."""

    fields: RequestFields
    sequence_states: tuple[object, ...]


class HeMix(Ranker):
    """The model of the module's text.

    The first sequence of ``spec`` is G, the second R.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> model = HeMix(toy_spec(), HeMixConfig(token_width=8, rank=2))
        >>> {task: tuple(logit.shape) for task, logit in model(toy_batch(rows=3)).items()}
        {'click': (3,), 'long_view': (3,)}
    """

    name = "hemix"
    config_type = HeMixConfig

    @classmethod
    def default_recipe(cls) -> tuple[HeMixConfig, TrainingConfig]:
        """``compact``: for logs of some 10^5 impressions (docs/decisions/0004-training-recipe.md)."""
        shape, training = super().default_recipe()
        return HeMixConfig(
            token_width=32,
            token_norm=False,
            readout="flatten",
            crosses=1,
            blocks=1,
            tower=(64,),
            embedding=shape.embedding,
        ), training.model_copy(update={"objective": ObjectiveConfig(jrc_without_lists=True)})

    def __init__(self, spec: FeatureSpec, config: HeMixConfig) -> None:
        super().__init__(spec, config)
        assert len(spec.sequences) == 2, "HeMix reads two sequences: global, then real-time"
        self.config, width = config, config.token_width
        among = self.sequences if config.candidate_interest else ()
        self.candidate = Interests(spec, among, config.embedding.width, CANDIDATE_HIDDEN)
        before, own = map(self.embedding.field_count, (REQUEST_SIDES, ITEM_SIDES))
        self.refinements = refinements_of(
            config.refine,
            separate=config.refine_separate,
            branches=BRANCHES,
            make=lambda name: refinement(
                name,
                before + own,
                config.embedding.width,
                config.refinement,
                user=range(before),
                item=range(before, before + own),
            ),
        )
        item_width = self.width_of(ITEM_SIDES) + self.candidate.width
        self.tokenizer = Tokenizer(self.width_of(REQUEST_SIDES), item_width, config)
        event = len(spec.sequences[0].columns) * config.embedding.width
        self.positions = nn.ParameterList(
            [
                nn.Parameter(torch.randn(spec.sequences[at].max_length, event) * 0.02)
                for at in self._read
                if config.positions
            ]
        )
        self.encoders = nn.ModuleList(
            [EventEncoder(config, event) for _ in self._read if config.encode_events]
        )
        self.project = nn.Linear(event, width) if config.item_projection == "separate" else None
        if self.project is not None:
            nn.init.xavier_uniform_(self.project.weight)
            nn.init.zeros_(self.project.bias)
        event = event if self.project is None else width
        lengths = [sequence.max_length for sequence in self.sequences]
        self.attention = nn.ModuleList(interests_of(config, event, lengths))
        own = len(spec.tasks) if config.readout == "task" else 0
        self.task_tokens = nn.Parameter(torch.randn(own, width) * 0.02) if own else None
        self.count = config.tokens + own
        self.blocks = nn.ModuleList([block_of(config, self.count) for _ in range(config.blocks)])
        self.norm = nn.RMSNorm(width) if config.norm == "pre_rms" else nn.Identity()
        self.tower = self.towers(self._readout_width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task; each sequence is read once, by all its queries."""
        return self._logits(self.tokens(batch))

    def encode_request(self, request: Batch) -> RequestState:
        """Everything that no candidate changes, for every row of ``request``."""
        fields = self._request_fields(request)
        sequence_states = tuple(
            interest.encode(self.events(request, number))
            for number, interest in enumerate(self._interests())
        )
        return RequestState(fields=fields, sequence_states=sequence_states)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, RequestState)
        t_ns = self._ns(state.fields, items)
        groups = zip(self._interests(), state.sequence_states, self._groups(t_ns), strict=True)
        return self._logits(
            self._joined(
                [read(sequence_states, group) for read, sequence_states, group in groups], t_ns
            )
        )

    def tokens(self, batch: Batch) -> Tensor:
        """(b-e) The mixer's input ``[B, N, D]``, of every sequence dynamic before fixed."""
        fields = self._request_fields(batch)
        events = [self.events(batch, number) for number in range(len(self.attention))]
        t_ns = self._ns(fields, batch)
        groups = zip(self._interests(), events, self._groups(t_ns), strict=True)
        return self._joined(
            [at.read(sequence_states, group) for at, sequence_states, group in groups], t_ns
        )

    def _joined(self, out: list[Tensor], t_ns: Tensor) -> Tensor:
        """(e) ``[O_R ; O_G ; T_ns]``, then the tasks' own tokens when they have some."""
        parts = [*reversed(out), t_ns[:, : self.config.dynamic if self.config.feed_ns else 0]]
        if self.task_tokens is not None:
            parts.append(self.task_tokens.expand(len(t_ns), -1, -1))
        return torch.cat(parts, 1)

    def events(self, request: Batch, number: int) -> Events:
        """(a) The events of the ``number``-th sequence that is read."""
        sequence = self.sequences[number]
        lists, layout, order = request.lists[sequence.name], None, None
        offsets = lists.offsets
        if self.config.interest == "mixed" and not self.encoders:
            width = len(sequence.columns) * self.config.embedding.width
            layout = layout_of(offsets, 4 * width)
            order = None if layout is None else layout.order
        values, _ = self.embedding.events(request, sequence, order)
        if self.config.positions:
            after = offsets[1:].repeat_interleave(offsets.diff())
            recency = after - 1 - torch.arange(len(after), device=after.device)  # 0: the latest
            recency = recency if order is None else recency[order]
            values = values + fn.embedding(recency, self.positions[number])
        if self.encoders:
            values = self.encoders[number](values, offsets, lists.longest)
        return Events(values=values, offsets=offsets, layout=layout, project=self.project)

    def _request_fields(self, batch: Batch) -> RequestFields:
        e_request = self.embedding.fields(batch, REQUEST_SIDES).flatten(1)
        if self.refinements:  # they look at the item too
            fields = RequestFields(fields=e_request, product=None)
        else:
            fields = self.tokenizer.request(e_request)
        return replace(fields, sequence_states=self.candidate.events(self.embedding, batch))

    def _ns(self, fields: RequestFields, items: Batch) -> Tensor:
        """(b) ``T_ns [B, N_G + N_R, D]``; queries of their own behind it."""
        item_BFE = self.embedding.fields(items, ITEM_SIDES)
        states = fields.sequence_states
        if self.refinements:
            request_BFE = split_axis(fields.fields, 1, (-1, item_BFE.shape[2]))
            count = request_BFE.shape[1]
            x_BFE = torch.cat([request_BFE.expand(items.size, -1, -1), item_BFE], 1)
            x_BFE = self.refinements.refined(x_BFE, BRANCHES)[BRANCHES[0]]
            fields = self.tokenizer.request(x_BFE[:, :count].flatten(1))
            item_BFE = x_BFE[:, count:]
        item = [item_BFE.flatten(1), *self.candidate.of(self.embedding, states, items)]
        return self.tokenizer(fields, torch.cat(item, 1))

    def _groups(self, t_ns: Tensor) -> list[Tensor]:
        """The tokens that ask each sequence that is read."""
        return [t_ns[:, self.config.query_slice(name)] for name in self.config.active_sequences]

    def _logits(self, x_BND: Tensor) -> dict[str, Tensor]:
        """(f, g) Blocks, readout and towers."""
        again = self.config.recompute and self.training and torch.is_grad_enabled()
        for block in self.blocks:
            x_BND = checkpoint(block, x_BND, use_reentrant=False) if again else block(x_BND)
        read = self._readout(self.norm(x_BND))
        return {task: tower(u) for u, (task, tower) in zip(read, self.tower.items(), strict=True)}

    def _readout(self, x_BND: Tensor) -> Sequence[Tensor]:
        """(g) What the tower of each task reads."""
        tasks = len(self.tower)
        if self.config.readout == "task":
            return x_BND[:, -tasks:].unbind(1)
        if self.config.readout == "ns":
            x_BND = x_BND[:, -self.config.dynamic :]
        u = x_BND.flatten(1) if self.config.readout == "flatten" else x_BND.mean(1)
        return [u] * tasks

    @property
    def _read(self) -> tuple[int, ...]:
        """Where in ``spec.sequences`` those that are read stand."""
        return tuple(("global", "realtime").index(name) for name in self.config.active_sequences)

    @property
    def sequences(self) -> tuple[SequenceFeature, ...]:
        """Those that are read, in the order of the interests."""
        return tuple(self.spec.sequences[at] for at in self._read)

    def _interests(self) -> list[Interest]:
        return [interest for interest in self.attention if isinstance(interest, Interest)]

    @property
    def _readout_width(self) -> int:
        tokens = self.count if self.config.readout == "flatten" else 1
        return tokens * self.config.token_width

    def pictures(self, look: Look) -> Iterator[Picture]:
        """What its queries read of the rows' events (:mod:`.attention_weights`)."""
        return attention_pictures(self, look)

    def flops_per_sample(self) -> dict[str, int]:
        """Section 1.5's costs at full lengths, keys and values folded away (models/rankers/hemix/flops.py)."""
        return flops(self)
