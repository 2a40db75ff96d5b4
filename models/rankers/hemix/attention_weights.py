"""Which events HeMix's queries read: the softmax weights of eq. 12 (arXiv 2602.09387), for people.

Scoring never makes these weights (keys are folded into the queries); here they are computed plainly,
for one request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hemix.errors import DefinitionError
from hemix.models.data.batch import Batch
from hemix.models.layers.attention.mixed import MixedHeteroAttention
from hemix.models.layers.dense import split_axis
from hemix.models.pictures import Axis, Look, Picture

if TYPE_CHECKING:
    from hemix.models.rankers.hemix.model import HeMix

LATEST = 30
"""How many events a picture shows, the latest."""


@torch.inference_mode()
def attention_weights(model: HeMix, request: Batch, items: Batch) -> dict[str, Tensor]:
    """Weights ``[N, Q, H, L]`` of N candidates' queries over the L events of each sequence.

    The dynamic queries come first, then the fixed ones, which no candidate changes. Weights of a
    query and head sum to one less what its null item takes; events are in their order, the latest
    last.

    Args:
        model: in evaluation mode.
        request: the user and context columns of one request, 1 row.
        items: the columns of its N candidates.

    Raises:
        DefinitionError: the model reads its sequences without mixed queries.
    """
    t_ns = model._ns(model._request_fields(request), items)
    groups = model._groups(t_ns)
    found: dict[str, Tensor] = {}
    for number, (sequence, interest) in enumerate(
        zip(model.sequences, model.attention, strict=True)
    ):
        if not isinstance(interest, MixedHeteroAttention):
            raise DefinitionError(
                f"This HeMix reads {sequence.name!r} by {type(interest).__name__}.",
                hint="Attention weights exist with model.interest=mixed.",
            )
        events = model.events(request, number)
        keys, _ = interest.keys_values(events)
        asked = queries(interest, groups[number], interest.static_queries(events))
        q_NQHa = split_axis(asked, -1, (interest.heads, -1))
        scores = torch.einsum("nqha,hla->nqhl", q_NQHa, keys) / keys.shape[-1] ** 0.5
        bonus = interest.null_bonus(events)
        if bonus is not None:
            scores[..., 0] += bonus
        weights = scores.softmax(-1)
        found[sequence.name] = weights if interest.null is None else weights[..., 1:]
    return found


def queries(interest: MixedHeteroAttention, t_NnD: Tensor, static_1FD: Tensor) -> Tensor:
    """All queries after their own projections, ``[N, Q, D]``: dynamic, then fixed (eq. 11)."""
    every = torch.cat([t_NnD[:, : interest.dynamic], static_1FD.expand(len(t_NnD), -1, -1)], dim=1)
    weight = interest.query.expand(every.shape[1], -1, -1)
    return torch.einsum("nqd,qde->nqe", every, weight)


def attention_pictures(model: HeMix, look: Look) -> Iterator[Picture]:
    """What each query reads of the events of each row that is looked at, sequence by sequence.

    A value is a weight times the number of events and the null item, the mean over the heads: 1
    where a query reads as a mean does.
    """
    if look.batch is None:
        return
    for row, label in enumerate(look.rows):
        one = look.batch.take(torch.tensor([row], device=next(model.parameters()).device))
        for number, interest in enumerate(model.attention):
            if isinstance(interest, MixedHeteroAttention):
                yield from _one_picture(model, look, one, row, label, number)


def _one_picture(
    model: HeMix, look: Look, one: Batch, row: int, label: str, number: int
) -> Iterator[Picture]:
    """Args:
    model: the ranker.
    look: labels.
    one: the row, as request and candidate.
    row: its place in the look.
    label: its name.
    number: of the sequence.
    """
    interest, sequence = model.attention[number], model.sequences[number]
    assert isinstance(interest, MixedHeteroAttention)
    weights_QHL = attention_weights(model, one, one)[sequence.name][0]
    count = weights_QHL.shape[-1]
    if not count:
        return
    shares_QL = weights_QHL.mean(1) * (count + (interest.null is not None))
    named = look.events.get(sequence.name)
    events = list(named[row]) if named else [f"{at - count}" for at in range(count)]
    static = len(shares_QL) - interest.dynamic
    yield Picture(
        title=f"What HeMix reads in {sequence.name!r}: {label}",
        reading="Each line is a query, each column an event of the user, the latest on the right. 1: "
        "read as much as every other event; 2: twice as much; 0: not at all. Dynamic queries are made "
        "for this candidate, learned ones are the same for everybody.",
        axes=(
            Axis(
                title="query",
                labels=(
                    *(f"dynamic {at + 1}" for at in range(interest.dynamic)),
                    *(f"learned {at + 1}" for at in range(static)),
                ),
            ),
            Axis(
                title=f"event (latest {min(count, LATEST)} of {count})",
                labels=tuple(events[-LATEST:]),
            ),
        ),
        values=shares_QL[:, -LATEST:],
        unit="times an even share",
        middle=1.0,
        about="rows",
    )
