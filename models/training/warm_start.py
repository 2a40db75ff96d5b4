"""Warm start: the weights of an earlier version, moved to where a new transform has their ids.

A new transform numbers values anew, knows values that the old one did not, and scales numbers by
other means. What is done with each weight:

- *Tables of learned vocabularies*: the row of a value goes to the value's new id; padding and hash
  buckets keep their rows (all buckets take the first one's row when their number differs). A value
  the old version did not know gets the row of the old unknown id (``unknown``, what the old version
  would have used for it) or a fresh one (``fresh``). Measured: docs/tuning.md.
- *Tables of ids that mean the same in every transform* (hours, gaps): copied.
- *Hashed tables* (``embedding.hashed``): fresh; an id's row is shared by ids that moved elsewhere.
- *Numbers* ``bucket[b] + x * direction``, where ``x = (y - m) / d`` of the raw (or log) value y. A new
  bucket takes the row of the old bucket that holds its middle; the first and the last take the old
  first and last; missing keeps its row. With ``x_old = a x + c``, ``a = d / d_old`` and
  ``c = (m - m_old) / d_old``, directions are multiplied by a and ``c * direction`` goes into the
  bucket rows: where edges are the same, every raw value has the vector it had.
- *What the objective of the training holds* (``objective.*``: codebooks, uncertainties): copied where
  the earlier version has the same, else new; of a user's table that was numbered anew, which users were
  seen is not carried.
- *Everything else*: copied; names and shapes must be the same, and so must the fields, for dense
  weights know a field by its place alone.

Optimisers start anew, with the training's own warm-up. Nothing here is from the paper.
Axes: ``V`` ids of a table, ``E`` embedding width, ``K`` buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from hemix.errors import ModelVersionError
from hemix.models.rankers.base import Ranker
from hemix.spec import FeatureSpec
from hemix.texts.frozen import Frozen

NewRows = Literal["unknown", "fresh"]
NEW = -1
"""Stands for an id or bucket that has no row in the old table."""
MISSING = 0
UNKNOWN = 1


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a transform scaled a number: ``x = (y - mean) / deviation``, y the raw value or its log.

    ``edges``: lower edges of the buckets 2, 3, ... in raw units, ascending; bucket 1 lies below them.
    """

    mean: float
    deviation: float
    edges: tuple[float, ...]
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class TransformContents:
    """What the ids and numbers of a contract stand for.

    ``values``: of each learned vocabulary, in the order of its ids after the hash buckets.
    ``scales``: by the name of the numeric feature.
    """

    spec: FeatureSpec
    values: Mapping[str, Sequence[bytes]]
    scales: Mapping[str, Scale]


class WarmStart(Frozen):
    """Where weights came from; stands in the manifest.

    ``rows``: vocabulary -> rows taken over, ``new``: rows that the old version did not have.
    ``fresh``: tables that were not taken over.
    """

    version: str
    weights: str
    new_rows: NewRows = "unknown"
    rows: dict[str, int] = Field(default={})
    new: dict[str, int] = Field(default={})
    fresh: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Moved:
    """Weights for a new ranker, by parameter name, and the counts of :class:`WarmStart`."""

    weights: dict[str, Tensor]
    rows: dict[str, int] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)


def move(
    old: Ranker,
    new: Ranker,
    contents_old: TransformContents,
    contents_new: TransformContents,
    *,
    new_rows: NewRows = "unknown",
) -> Moved:
    """The weights of ``old`` for ``new``, whose own stay where nothing can be taken over.

    Args:
        old: the ranker to begin with.
        new: the ranker to train.
        contents_old: what the ids and numbers of ``old`` stand for.
        contents_new: the same of ``new``.
        new_rows: what ids begin with that ``old`` did not know: its row of the unknown id, or a
            fresh one.

    Raises:
        ModelVersionError: ranker, fields, names or shapes differ; the message names the first.
    """
    require_fit(old, new)
    found = Moved(weights={name: p.detach().clone() for name, p in new.named_parameters()})
    known = {name: p.detach() for name, p in old.named_parameters()}
    for name, value in _beside_weights(old).items():
        mine = _beside_weights(new).get(name)
        if mine is not None and mine.shape == value.shape:
            found.weights[name] = value.detach().clone()
    for name in set(found.weights) - _by_meaning(new):
        if _is_objective(name) or name not in known:
            continue
        found.weights[name].copy_(known[name])
    for place, embedding in new.embeddings.items():
        moved = found if place == "embedding" else Moved(weights=found.weights)
        for name in embedding.tables:
            key = f"{place}.tables.{name}.weight"
            _move_table(name, key, moved, known, contents_old, contents_new, new_rows)
        _move_numbers(place, moved, known, contents_old, contents_new)
    return found


def _is_objective(name: str) -> bool:
    return name.startswith("objective.")


def _beside_weights(ranker: Ranker) -> dict[str, Tensor]:
    """The objective's parameters and buffers, not those that speak of a table's rows; and the
    statistics of batch norms.
    """
    named = (*ranker.named_parameters(), *ranker.named_buffers())
    found = {n: v for n, v in named if _is_objective(n) and not n.endswith(".seen")}
    return found | {n: v for n, v in named if n.endswith((".running_mean", ".running_var"))}


def _by_meaning(ranker: Ranker) -> set[str]:
    """The parameters whose rows stand for ids, buckets or numbers."""
    found = set()
    for place, embedding in ranker.embeddings.items():
        found |= {f"{place}.tables.{name}.weight" for name in embedding.tables}
        found |= {f"{place}.buckets.weight", f"{place}.directions"}
    return found


# ---- tables -----------------------------------------------------------------------------------


def row_sources(
    values: Sequence[bytes], oov: int, old_values: Sequence[bytes], old_oov: int
) -> NDArray[np.int64]:
    """For each id of a new vocabulary its id in the old one, :data:`NEW` for none: ``[V]``.

    Ids: 0 missing, ``1 .. oov`` hash buckets, then ``values``. The hash depends on the number of
    buckets alone, so equal numbers keep their buckets apart.
    """
    place = {value: 1 + old_oov + i for i, value in enumerate(old_values)}
    buckets = np.arange(1, oov + 1) if oov == old_oov else np.full(oov, UNKNOWN if old_oov else NEW)
    known = [place.get(value, NEW) for value in values]
    return np.concatenate([[MISSING], buckets, np.array(known, np.int64)]).astype(np.int64)


def _move_table(
    name: str,
    key: str,
    found: Moved,
    known: Mapping[str, Tensor],
    old: TransformContents,
    new: TransformContents,
    new_rows: NewRows,
) -> None:
    table_VE, old_VE = found.weights[key], known.get(key)
    sizes = {v.name: v for v in new.spec.vocabularies}, {v.name: v for v in old.spec.vocabularies}
    hashed = old_VE is None or any(
        len(weight) != side[name].size
        for weight, side in zip((table_VE, old_VE), sizes, strict=True)
    )
    if hashed or old_VE is None:
        found.fresh.append(name)
        return
    if name in new.values and name in old.values:
        sources = row_sources(
            new.values[name],
            sizes[0][name].oov_buckets,
            old.values[name],
            sizes[1][name].oov_buckets,
        )
    elif len(table_VE) == len(old_VE):
        sources = np.arange(len(table_VE))
    else:
        found.fresh.append(name)
        return
    if len(sources) != len(table_VE) or sources.max() >= len(old_VE):
        raise ModelVersionError(
            f"Warm start: the vocabulary {name!r} holds {len(sources)} ids, its table {len(table_VE)}.",
            hint="The version's transform is not the one that its weights were trained on.",
        )
    rows = torch.from_numpy(sources)
    taken = rows != NEW
    table_VE[taken] = old_VE[rows[taken]].to(table_VE)
    if new_rows == "unknown" and sizes[1][name].oov_buckets:
        table_VE[~taken] = old_VE[UNKNOWN].to(table_VE)
    found.rows[name], found.new[name] = int(taken.sum()), int((~taken).sum())


# ---- numbers ----------------------------------------------------------------------------------


def bucket_sources(scale: Scale, buckets: int, old: Scale, old_buckets: int) -> NDArray[np.int64]:
    """For each bucket of a number the old bucket whose row it takes: ``[K]``.

    Bucket b >= 2 begins at ``edges[b - 2]``. Buckets behind the last edge's are never met and keep
    their rows.
    """
    edges, before = np.array(scale.edges), np.array(old.edges)
    sources = np.minimum(np.arange(buckets), old_buckets - 1)
    if len(edges):
        middles = [-np.inf, *(edges[:-1] + edges[1:]) / 2, np.inf]
    else:  # all values stand in one bucket
        middles = [np.expm1(old.mean) if old.log else old.mean]
    met = slice(1, 1 + len(middles))
    sources[met] = np.minimum(1 + np.searchsorted(before, middles, side="right"), old_buckets - 1)
    return sources.astype(np.int64)


def _move_numbers(
    place: str,
    found: Moved,
    known: Mapping[str, Tensor],
    old: TransformContents,
    new: TransformContents,
) -> None:
    """Bucket rows and directions of the tables at ``place``, number by number."""
    table, old_table = (w[f"{place}.buckets.weight"] for w in (found.weights, known))
    directions, old_directions = (w[f"{place}.directions"] for w in (found.weights, known))
    start = old_start = 0
    for i, (number, before) in enumerate(zip(new.spec.numeric, old.spec.numeric, strict=True)):
        rows = table[start : start + number.buckets]
        old_rows = old_table[old_start : old_start + before.buckets]
        start, old_start = start + number.buckets, old_start + before.buckets
        scale, old_scale = new.scales.get(number.name), old.scales.get(number.name)
        if scale is None or old_scale is None or scale.log != old_scale.log:
            found.fresh.append(number.name)
            continue
        factor = scale.deviation / old_scale.deviation
        shift = (scale.mean - old_scale.mean) / old_scale.deviation
        sources = bucket_sources(scale, number.buckets, old_scale, before.buckets)
        moved = old_rows[torch.from_numpy(sources)] + shift * old_directions[i]
        moved[MISSING] = old_rows[MISSING]  # x is 0 there, before and now
        rows.copy_(moved)
        directions[i] = factor * old_directions[i]


# ---- what must be the same --------------------------------------------------------------------


def require_fit(old: Ranker, new: Ranker) -> None:
    """Refuse two rankers whose weights do not mean the same: what :func:`move` raises."""
    _require_same_fields(old, new)
    hint = "Train with the recipe of that version, or without training.warm_start."
    widths = old.embedding.config.width, new.embedding.config.width
    if widths[0] != widths[1]:
        raise ModelVersionError(
            f"Warm start: model.embedding.width is {widths[1]}, the earlier version has {widths[0]}.",
            hint=hint,
        )
    if old.embedding.config.widths != new.embedding.config.widths:
        raise ModelVersionError(
            "Warm start: model.embedding.widths differs from that of the earlier version.",
            hint=hint,
        )
    before, now = (
        {
            name: list(p.shape)
            for name, p in r.named_parameters()
            if name not in _by_meaning(r) and not _is_objective(name)
        }
        for r in (old, new)
    )
    for name in (*now, *before):
        if before.get(name) == now.get(name):
            continue
        there, here = (side.get(name, "no such weight") for side in (before, now))
        raise ModelVersionError(
            f"Warm start: {name} is {here} in this recipe, {there} in the earlier version.",
            hint=hint,
        )


def _require_same_fields(old: Ranker, new: Ranker) -> None:
    hint = "Fields must stay as they are for a warm start; train without training.warm_start."
    if old.name != new.name:
        raise ModelVersionError(
            f"Warm start: the earlier version is a {old.name}, the recipe a {new.name}.",
            hint="Name the recipe of that version, or train without training.warm_start.",
        )
    for what, before, now in (
        ("tasks", old.spec.tasks, new.spec.tasks),
        ("id fields", old.spec.categorical, new.spec.categorical),
        (
            "numbers",
            tuple((n.name, n.side) for n in old.spec.numeric),
            tuple((n.name, n.side) for n in new.spec.numeric),
        ),
        (
            "sequences",
            tuple((s.name, s.columns) for s in old.spec.sequences),
            tuple((s.name, s.columns) for s in new.spec.sequences),
        ),
    ):
        if before != now:
            raise ModelVersionError(
                f"Warm start: the earlier version has other {what}: {_first(before, now)}.",
                hint=hint,
            )


def _first(before: Sequence[object], now: Sequence[object]) -> str:
    pairs = [(b, n) for b, n in zip(before, now, strict=False) if b != n]
    if not pairs:
        return f"{len(before)} there, {len(now)} here"
    names = [
        getattr(part, "name", part[0] if isinstance(part, tuple) else part) for part in pairs[0]
    ]
    return f"{names[0]!r} there, {names[1]!r} here" if names[0] != names[1] else f"{names[0]!r}"
