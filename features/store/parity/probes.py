"""Probe interactions: requests of chosen users at one instant, and their true examples.

The true examples come from ``build_examples``' own path: the probes are written behind the log's
earlier interactions and go through the same Beam pipeline.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.build import build
from hemix.features.examples.log import Log, read_rows, read_tasks
from hemix.features.schema import (
    MISSING_INT,
    MISSING_STRING,
    TIME,
    ColumnTypes,
    label_column,
)
from hemix.features.sources.dimensions import fill_missing

PREFIX = "parity-"
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Requests at ``time_ms``: each a user, K items, one context (as in a ranking request).

    ``candidates`` holds for each request the K values of every column that candidates have. The
    items of a request are distinct.
    """

    time_ms: int
    users: tuple[Any, ...]
    items: tuple[tuple[Any, ...], ...]
    contexts: tuple[dict[str, Any], ...]
    candidates: tuple[dict[str, list[Any]], ...]

    @property
    def rows(self) -> int:
        return sum(len(items) for items in self.items)

    @property
    def keys(self) -> list[tuple[Any, Any]]:
        """(user, item) of every row, in order."""
        return [(u, i) for u, items in zip(self.users, self.items, strict=True) for i in items]


def choose_probes(
    definition: DatasetDefinition,
    types: ColumnTypes,
    *,
    events: Path,
    state: Path,
    as_of: datetime,
    users: int,
    items_a_user: int,
    unknown: int = 5,
    seed: int = 0,
) -> Probes:
    """Draw requests: half of the users and items were active on the last day, the rest are any.

    Args:
        definition: the data set definition.
        types: what ids and values are stored as.
        events: the events artifact.
        state: folder with ``users.parquet`` and ``items.parquet`` as of ``as_of``.
        as_of: the instant of the requests.
        users: how many known users ask.
        items_a_user: candidates of each request.
        unknown: how many users and items that nobody has seen are added.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    time_ms = round(as_of.timestamp() * 1000)
    log = Log(definition=definition, types=types, events=events)
    schema = log.schema("interactions")
    before = _before(log, "interactions", time_ms)
    recent = before.filter(pc.greater_equal(before["event_time"], _time(time_ms - DAY_MS)))
    chosen: dict[str, list[Any]] = {}
    for side, count in (("user", users), ("item", users * items_a_user)):
        key = f"{side}_id"
        known = pq.read_table(state / f"{side}s.parquet", columns=[key])[key]
        active = pc.unique(recent[key]).to_pylist()
        chosen[side] = _mixed(rng, known.to_pylist(), active, count - unknown)
        chosen[side] += _unknown(known, unknown)
        rng.shuffle(chosen[side])
    items = chosen["item"]
    contexts = before.select(list(definition.request_columns))
    rows = rng.integers(0, max(before.num_rows, 1), len(chosen["user"]))
    asked = tuple(
        tuple(
            dict.fromkeys(items[(n * items_a_user + k) % len(items)] for k in range(items_a_user))
        )
        for n in range(len(chosen["user"]))
    )
    assert schema.names  # the log has interactions: ingest refuses one without
    return Probes(
        time_ms=time_ms,
        users=tuple(chosen["user"]),
        items=asked,
        candidates=_candidates(definition, before, asked, rng),
        contexts=tuple(
            _said(contexts.slice(int(row), 1).to_pylist()[0]) if before.num_rows else {}
            for row in rows
        ),
    )


def _candidates(
    definition: DatasetDefinition,
    log: pa.Table,
    asked: tuple[tuple[Any, ...], ...],
    rng: np.random.Generator,
) -> tuple[dict[str, list[Any]], ...]:
    """Each candidate's own values, those of any row of the log."""
    own = log.select(list(definition.candidate_columns))
    count = sum(len(items) for items in asked)
    if not own.num_columns or not log.num_rows:
        return tuple({name: [None] * len(items) for name in own.column_names} for items in asked)
    drawn = own.take(pa.array(rng.integers(0, log.num_rows, count)))
    ends = np.cumsum([len(items) for items in asked])
    return tuple(
        {
            name: [_value(value) for value in values]
            for name, values in drawn.slice(int(end) - len(items), len(items)).to_pydict().items()
        }
        for end, items in zip(ends, asked, strict=True)
    )


def _said(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    """As a request says it: what is missing in the log is None."""
    return None if value in (MISSING_INT, MISSING_STRING) or value != value else value


def true_examples(
    definition: DatasetDefinition, types: ColumnTypes, *, events: Path, probes: Probes, work: Path
) -> pa.Table:
    """The probes' rows of ``build_examples`` ``[probes.rows]``, in the probes' order.

    Args:
        definition: the data set definition.
        types: what ids and values are stored as.
        events: the events artifact.
        probes: the requests.
        work: an empty folder for the shortened log and its examples.
    """
    _write_log(definition, types, events=events, probes=probes, out=work / "events")
    build(definition, work / "events", work / "examples")
    files = sorted((work / "examples").glob(f"{_day(probes.time_ms)}/*.parquet"))
    table = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])
    table = table.filter(pc.starts_with(table["request_id"], PREFIX))
    by = [("request_id", "ascending"), ("item_id", "ascending")]
    order = pc.sort_indices(pa.table(_keys(types, probes)), sort_keys=by)
    places = np.empty(probes.rows, np.int64)
    places[order.to_numpy()] = np.arange(probes.rows)
    return table.sort_by(by).take(pa.array(places)).combine_chunks()


def _keys(types: ColumnTypes, probes: Probes) -> dict[str, pa.Array]:
    """Request id and item of every row, in the probes' order."""
    names = [f"{PREFIX}{number:09d}" for number, items in enumerate(probes.items) for _ in items]
    return {
        "request_id": pa.array(names, pa.string()),
        "item_id": pa.array([item for _, item in probes.keys], types.item_id),
    }


def _write_log(
    definition: DatasetDefinition, types: ColumnTypes, *, events: Path, probes: Probes, out: Path
) -> None:
    """The log before the instant (behaviours: of the probed users) and the probes behind it."""
    log = Log(definition=definition, types=types, events=events)
    for name in ("users", "items"):
        shutil.copytree(events / name, out / name)
    shutil.copyfile(events / "types.json", out / "types.json")
    behaviors = _before(log, "behaviors", probes.time_ms)
    users = pa.array(probes.users, types.user_id)
    behaviors = behaviors.filter(pc.is_in(behaviors["user_id"], value_set=users))
    _write_days(behaviors, out / "behaviors", "part-0")
    _write_days(_before(log, "interactions", probes.time_ms), out / "interactions", "part-0")
    schema = log.schema("interactions")
    keys = probes.keys
    columns: dict[str, Any] = {
        **_keys(types, probes),
        "user_id": [user for user, _ in keys],
        "event_time": pa.array([probes.time_ms] * len(keys), pa.int64()).cast(TIME),
        **{label_column(task): [0] * len(keys) for task in definition.tasks},
    }
    for name in definition.request_columns:
        columns[name] = [
            context.get(name)
            for context, items in zip(probes.contexts, probes.items, strict=True)
            for _ in items
        ]
    for name in definition.candidate_columns:
        columns[name] = [value for own in probes.candidates for value in own[name]]
    rows = pa.table(
        [fill_missing(pa.array(columns[f.name], f.type)) for f in schema], schema=schema
    )
    _write_days(rows, out / "interactions", "part-1")


def _before(log: Log, table: str, time_ms: int) -> pa.Table:
    schema = log.schema(table)
    pieces = [read_rows(task, schema) for task in read_tasks(log.events, table)]
    kept = [piece.filter(pc.less(piece["event_time"], _time(time_ms))) for piece in pieces]
    return pa.concat_tables([schema.empty_table(), *kept])


def _write_days(table: pa.Table, folder: Path, part: str) -> None:
    times = table["event_time"].cast(pa.int64()).to_numpy()
    days = times // DAY_MS
    for day in np.unique(days):
        path = folder / _day(int(day) * DAY_MS) / f"{part}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pa.array(days == day)), path)


def _day(time_ms: int) -> str:
    return f"day={datetime.fromtimestamp(time_ms // 1000, tz=UTC):%Y-%m-%d}"


def _time(time_ms: int) -> pa.Scalar:
    return pa.scalar(time_ms, pa.int64()).cast(TIME)


def _mixed(rng: np.random.Generator, known: list[Any], active: list[Any], count: int) -> list[Any]:
    """``count`` distinct keys (all when there are fewer), half of them active ones if possible."""
    known, members = sorted(known), set(known)
    lively = sorted(key for key in active if key in members)
    first = [lively[i] for i in rng.permutation(len(lively))[: count // 2]]
    taken = set(first)
    others = [known[i] for i in rng.permutation(len(known)) if known[i] not in taken]
    return first + others[: count - len(first)]


def _unknown(known: pa.ChunkedArray, count: int) -> list[Any]:
    if pa.types.is_integer(known.type):
        top = pc.max(known).as_py() or 0
        return [top + 1 + n for n in range(count)]
    return [f"unknown {n} of nobody" for n in range(count)]
