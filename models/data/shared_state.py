"""One state of the user for several rows: what may differ between them is then the candidate alone.

As logged, a user's rows of a window hold the state of ever later moments: counters and sequences that
grow with the very clicks that are to be predicted. Among users with both labels an earlier click
makes a later one less likely, so the user's own running rate orders his rows against the label
(docs/objectives.md). An endpoint orders all candidates of a request on one state. So a metric or a
loss that compares rows of a user reads them on one state: that of the earliest of them, which none of
their labels can have entered.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.spec import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class UserState:
    """The columns that are the user's state, whole rows of which may be taken from another moment.

    ``ids``: columns of ids, buckets among them; ``numbers``; ``sequences``. ``personal``: numbers of the
    user with the candidate, and ``personal_buckets``, which another row's candidate does not have.
    """

    ids: tuple[str, ...]
    numbers: tuple[str, ...]
    sequences: tuple[str, ...]
    personal: tuple[str, ...] = ()
    personal_buckets: tuple[str, ...] = ()


def user_state(spec: FeatureSpec) -> UserState:
    """All columns of the side ``user``, every sequence, and numbers of the user with the candidate.

    Example:
        >>> from hemix.models.data.toy import toy_spec
        >>> user_state(toy_spec())
        UserState(ids=('user_id', 'age_bucket'), numbers=('age',), sequences=('global', 'realtime'), personal=(), personal_buckets=())
    """
    numeric = [field for field in spec.numeric if field.side == "user" and not field.personal]
    personal = [field for field in spec.numeric if field.personal]
    fields = [field.name for field in spec.categorical if field.side == "user"]
    return UserState(
        ids=(*fields, *(field.bucket for field in numeric)),
        numbers=tuple(field.name for field in numeric),
        sequences=tuple(sequence.name for sequence in spec.sequences),
        personal=tuple(field.name for field in personal),
        personal_buckets=tuple(field.bucket for field in personal),
    )


def earliest(groups: Tensor, times: Tensor) -> Tensor:
    """For each row the row of its group with the lowest time: ``[B]``, int64; the first of equals.

    ``groups``, ``times``: int64 ``[B]``.

    Example:
        >>> earliest(torch.tensor([5, 7, 5]), torch.tensor([30, 20, 10])).tolist()
        [2, 1, 2]
    """
    order = np.lexsort((times.cpu().numpy(), groups.cpu().numpy()))
    sorted_groups = groups.cpu().numpy()[order]
    begins = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
    sizes = np.diff(np.r_[begins, len(order)])
    found = np.empty(len(order), np.int64)
    found[order] = np.repeat(order[begins], sizes)
    return torch.from_numpy(found).to(groups.device)


def state_of(spec: FeatureSpec, batch: Batch, rows: Tensor) -> Batch:
    """The user's state of the rows ``rows`` (int64 ``[B']``) of ``batch``: its columns alone.

    What the user has with a candidate is missing (0, bucket 0): the moment's row is of another
    candidate, and the row's own holds what happened since.
    """
    columns = user_state(spec)
    missing = {n: torch.zeros_like(batch.ids[n][rows]) for n in columns.personal_buckets}
    zeros = {n: torch.zeros_like(batch.numbers[n][rows]) for n in columns.personal}
    return Batch(
        size=len(rows),
        ids={name: batch.ids[name][rows] for name in columns.ids} | missing,
        numbers={name: batch.numbers[name][rows] for name in columns.numbers} | zeros,
        lists={name: batch.lists[name].take(rows) for name in columns.sequences},
        labels={},
    )


def shared(spec: FeatureSpec, batch: Batch, by: Collection[str]) -> Batch:
    """``batch`` with ``shared`` states by each key of ``by``.

    A key whose groups hold rows of one moment each has none: their state is one as it is.
    """
    states = {}
    for key in by:
        groups, times = batch.keys[key], batch.keys["time"]
        first = earliest(groups, times)
        if not bool((times[first] == times).all()):
            states[key] = state_of(spec, batch, first)
    return batch.with_shared(states)
