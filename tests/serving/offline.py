"""The slow, obvious way to a request's scores: one row per candidate through ``apply_table``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tests.serving.live import TIME_MS

if TYPE_CHECKING:
    from hemix.features.transform.graph import TransformGraph


def offline_scores(
    model: Path,
    store: Path,
    service: str,
    user: int,
    items: list[int],
    *,
    context: dict[str, Any],
    time_ms: int = TIME_MS,
) -> dict[str, np.ndarray]:
    """Probabilities per task of a known user's request, by ``predict_table`` over plain rows."""
    from hemix.features.transform.graph import TransformGraph
    from hemix.models.versions.inference import Scorer, predict_table

    graph = TransformGraph.load(model / "transform")
    rows = offline_rows(graph, store, service, user, items, context=context, time_ms=time_ms)
    return predict_table(Scorer.load(model), rows)


def offline_rows(
    graph: TransformGraph,
    store: Path,
    service: str,
    user: int,
    items: list[int],
    *,
    context: dict[str, Any],
    time_ms: int = TIME_MS,
) -> pa.Table:
    """The request's rows as a transform would have written them, one a candidate."""
    from hemix.features.store.assemble import assemble
    from hemix.features.store.online import OnlineFeatures

    rows = OnlineFeatures(store, service, timeout_s=30).read(user, items)
    raw = assemble(
        graph.definition,
        graph.types,
        user=rows[0],
        items=rows[1],
        context=context,
        time_ms=time_ms,
    )
    columns: dict[str, pa.Array] = {}
    for name, column in raw.user.items():
        value = pa.array(column[0] if isinstance(column, tuple) else column)
        columns[name] = (
            pa.array([value.to_pylist()] * len(items))
            if isinstance(column, tuple)
            else pa.array(value.to_pylist() * len(items))
        )
    columns |= {name: pa.array(column) for name, column in raw.items.items()}
    wanted = graph.inputs()
    table = pa.table({c.name: _typed(columns[c.name], c.kind, c.ragged) for c in wanted})
    return graph.apply_table(table)


def _typed(array: pa.Array, kind: str, ragged: bool) -> pa.Array:
    plain = {"int": pa.int64(), "string": pa.string(), "float": pa.float64()}[kind]
    return array.cast(pa.list_(plain) if ragged else plain)
