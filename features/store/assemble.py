"""From online rows to the raw example columns of a request, as ``build_examples`` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.bounds import MAX_INT, MIN_INT
from hemix.errors import RequestError
from hemix.features.definition import DatasetDefinition
from hemix.features.derived.among_candidates import within_request
from hemix.features.derived.of_time import DAY_MS, TIME_FIELDS, item_age_days
from hemix.features.feature_views import CREATED_AT, HISTORY, internal
from hemix.features.schema import (
    INEXACT_GAP,
    MISSING_INT,
    MISSING_STRING,
    ColumnTypes,
    sequence_column,
)
from hemix.features.served_as import columns_as_served
from hemix.features.store.per_candidate import (
    last_times,
    matching_columns,
    pair_columns,
    stored_lists,
)
from hemix.features.store.rows import OnlineRows, column_dtype
from hemix.features.transform.columns import Column
from hemix.features.within_request import WithinRequest


@dataclass(frozen=True, kw_only=True)
class RequestColumns:
    """``user``: user and request columns of 1 row; ``items``: item and candidate columns of N rows."""

    user: dict[str, Column]
    items: dict[str, Column]

    def as_served(self, definition: DatasetDefinition) -> RequestColumns:
        """The same with every ``serve_as`` in place of what the request said."""
        if not definition.served_as:
            return self
        return RequestColumns(
            user=columns_as_served(definition, self.user),
            items=columns_as_served(definition, self.items),
        )


def assemble(
    definition: DatasetDefinition,
    types: ColumnTypes,
    *,
    user: OnlineRows,
    items: OnlineRows,
    context: Mapping[str, Any],
    time_ms: int,
    candidates: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> RequestColumns:
    """Raw example columns of one request at ``time_ms`` (UTC epoch, ms).

    Args:
        definition: the data set definition.
        types: what ids and values are stored as.
        user: one row.
        items: N rows, one per candidate.
        context: the declared columns of the request; an absent or null one is missing, others are
            ignored.
        candidates: the declared columns of the candidates, each N values in the order of ``items``;
            an absent column or a null value is missing, others are ignored.
        time_ms: the request's time, UTC epoch in milliseconds.

    Raises:
        RequestError: a value is not of the log's type, or a column has not N values; names the
            field.
    """
    made = internal(definition)
    columns: dict[str, Column] = {
        "user_id": user.keys,
        **{k: v for k, v in user.columns.items() if k not in made},
        **context_columns(definition, types, context),
        **time_columns(definition, time_ms),
        **sequence_columns(definition, user, time_ms),
        **last_times(definition, user, by_user=True, time_ms=time_ms),
    }
    item_columns: dict[str, Column] = {
        "item_id": items.keys,
        **{k: v for k, v in items.columns.items() if k not in made},
    }
    if definition.has_item_age:
        item_columns["item_age_days"] = item_age_days(items.columns[CREATED_AT], time_ms)
    item_columns |= candidate_columns(definition, types, candidates, len(items.keys))
    item_columns |= last_times(definition, items, by_user=False, time_ms=time_ms)
    item_columns |= matching_columns(definition, columns, item_columns)
    lists = stored_lists(definition, user)
    pairs = pair_columns(definition, lists, {**columns, **item_columns}, time_ms)
    for name, values in pairs.items():
        (item_columns if definition.side_of(name) == "item" else columns)[name] = values
    item_columns |= request_statistics(definition.within_request, item_columns)
    return RequestColumns(user=columns, items=item_columns)


def time_columns(definition: DatasetDefinition, time_ms: int) -> dict[str, Column]:
    """The declared fields of the request's time, int64 ``[1]`` each."""
    times = np.array([time_ms], dtype=np.int64)
    return {name: TIME_FIELDS[name].of(times) for name in definition.time_fields}


def context_columns(
    definition: DatasetDefinition, types: ColumnTypes, context: Mapping[str, Any]
) -> dict[str, Column]:
    """The declared columns of the request, ``[1]``, typed as in the log; missing by the contract."""
    return {
        name: _typed(f"context.{name}", types.context[name], [context.get(name)])
        for name in definition.request_columns
    }


def candidate_columns(
    definition: DatasetDefinition,
    types: ColumnTypes,
    candidates: Mapping[str, Sequence[Any]],
    count: int,
) -> dict[str, Column]:
    """The declared columns of the candidates, ``[count]``, typed as in the log.

    Raises:
        RequestError: a column has not ``count`` values, or one of another type; names the field.
    """
    columns: dict[str, Column] = {}
    for name in definition.candidate_columns:
        where = f"candidates.{name}"
        values = candidates.get(name)
        if values is not None and len(values) != count:
            raise RequestError(f"{where}: {len(values)} values for {count} candidates.")
        columns[name] = _typed(
            where, types.context[name], [None] * count if values is None else values
        )
    return columns


def request_statistics(
    wanted: Iterable[WithinRequest], items: Mapping[str, Column]
) -> dict[str, Column]:
    """How each candidate stands in the request, float64 ``[N]``, of its raw item columns."""
    columns: dict[str, Column] = {}
    for made in wanted:
        values = items[made.of]
        assert not isinstance(values, tuple), "a number is one value a candidate"
        one = np.zeros(len(values), np.int64)
        found = within_request(np.asarray(values), one, made.statistics)
        columns |= {made.column(name): column for name, column in found.items()}
    return columns


def _typed(where: str, kind: pa.DataType, values: Sequence[Any]) -> Column:
    column = np.empty(len(values), dtype=column_dtype(kind))
    for at, value in enumerate(values):
        column[at] = _value(where, kind, value)
    return column


def _value(where: str, kind: pa.DataType, value: Any) -> Any:
    missing: Any
    if isinstance(value, np.generic):
        value = value.item()
    if pa.types.is_string(kind):
        good, missing = isinstance(value, str), MISSING_STRING
        expected = "text"
    elif pa.types.is_floating(kind):
        good, missing = isinstance(value, int | float), float("nan")
        expected = "a number"
    else:
        good, missing = isinstance(value, int) and MIN_INT <= value <= MAX_INT, MISSING_INT
        expected = "a whole number"
    if value is None:
        return missing
    if not good or isinstance(value, bool):
        raise RequestError(f"{where}: {value!r} is not {expected}.")
    return value


def sequence_columns(
    definition: DatasetDefinition, user: OnlineRows, time_ms: int
) -> dict[str, Column]:
    """Cut the global and the real-time sequence of ``time_ms`` out of one user's history.

    The history is oldest first and holds at least the events of both (``user_state_schema``). Each
    column is (values, offsets ``[2]``).
    """
    settings = definition.sequences
    times: np.ndarray = user.columns["history_event_time_ms"][0]
    exact: np.ndarray = user.columns["history_time_exact"][0]
    visible = np.flatnonzero(times + settings.delay_s * 1000 < time_ms)
    if settings.realtime_window == "last":
        recent = np.arange(len(visible)) >= len(visible) - settings.realtime_length
    elif settings.realtime_window == "day":
        recent = times[visible] >= time_ms - time_ms % DAY_MS
    else:
        recent = times[visible] >= time_ms - settings.realtime_window * 1000
    older = visible if settings.overlap else visible[~recent]
    kept = {
        "global": older[-settings.global_length :],
        "realtime": visible[recent][-settings.realtime_length :],
    }
    names = ("item_id", *settings.columns, "action")
    columns: dict[str, Column] = {}
    for sequence, rows in kept.items():
        offsets = np.array([0, len(rows)], dtype=np.int64)
        for name in names:
            values = user.columns[HISTORY + name][0]
            columns[sequence_column(sequence, name)] = (values[rows], offsets)
        gaps = np.where(exact[rows] != 0, (time_ms - times[rows]) // 1000, INEXACT_GAP)
        columns[sequence_column(sequence, "gap_s")] = (gaps.astype(np.int64), offsets)
    return columns
