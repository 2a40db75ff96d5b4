"""What a publication knew, in one file: rows of the recent past, and sums of what is older.

A base answers for any instant from ``as_of`` on: behaviours that a sequence of such an instant can
hold, interactions (and behaviours that counters count) from ``horizon`` on as rows, older ones as
sums a key. It holds all that the log
held then, also of after ``as_of``; live events are added to it by identity (the keys by which ingest
drops repeats), so that it does not matter which events came both ways. Values and cut are one file,
replaced by one rename.
"""

from __future__ import annotations

import bisect
import io
import json
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.errors import StorageError
from hemix.features.arrays.dense_ranks import Ints, flat, integers, present, ranks
from hemix.features.arrays.time_index import TimeIndex, order_behaviors
from hemix.features.definition import DatasetDefinition
from hemix.features.examples import sequences
from hemix.features.examples.counter_columns import Counting
from hemix.features.examples.log import Log, read_rows, read_tasks
from hemix.features.examples.sequences import DAY_MS
from hemix.features.live.older import acts_of, sums_of
from hemix.features.live.pair_lists import acted_lately, shown_before, shown_columns
from hemix.features.schema import TIME, ColumnTypes
from hemix.features.sources.dimensions import Dimension
from hemix.files import atomic_file

FORMAT = 3


def base_name(digest: str) -> str:
    """The file of a base in a feature repository and a live store; ``digest`` of ``views_digest``."""
    return f"base-{digest}.zip"


def horizon_of(definition: DatasetDefinition, as_of_ms: int) -> int:
    """From when on a base at ``as_of_ms`` holds interactions as rows: the longest counter window
    before it, and a day at least, in which late events are still told from those that the log held.
    """
    lengths = [
        seconds
        for counter in definition.counters
        for window in counter.windows
        if (seconds := counter.window_seconds(window)) is not None
    ]
    delay = definition.sequences.delay_s
    return as_of_ms - max(1000 * max([*lengths, delay]), DAY_MS)


class Items(Dimension):
    """A dimension that is asked for a few rows at a time: ids are found by hash, nothing is padded."""

    def __init__(self, table: pa.Table, key: str) -> None:
        super().__init__(table, key)
        self._places = {value: place for place, value in enumerate(self.ids.to_pylist())}
        self._spans: list[int] = self._index.starts.tolist()
        self._froms: list[int] = self._valid_from.tolist()
        self._known: dict[str, list[Any]] = {}

    def rows(self, ids: pa.Array | pa.ChunkedArray, times: Ints) -> Ints:
        found = [self._places.get(value, -1) for value in flat(ids).to_pylist()]
        groups = np.array(found, np.int64)
        if not len(self.ids):
            return groups
        last = self._index.before(np.maximum(groups, 0), times + 1) - 1
        starts = self._index.starts[np.maximum(groups, 0)]
        return np.where((groups >= 0) & (last >= starts), last, -1)

    def value(self, name: str, item_id: Any, time_ms: int) -> Any:
        """An attribute of one item as of a time; None when it is missing. As :meth:`take` of :meth:`rows`."""
        if (group := self._places.get(item_id)) is None:
            return None
        if (found := self._known.get(name)) is None:
            column = self.take(name, np.arange(self.table.num_rows))
            values, there = column.to_pylist(), present(column).tolist()
            found = [v if known else None for v, known in zip(values, there, strict=True)]
            self._known[name] = found
        start, end = self._spans[group], self._spans[group + 1]
        last = bisect.bisect_right(self._froms, time_ms, start, end) - 1
        return found[last] if last >= start else None

    def spread(self, name: str, rows: npt.NDArray[np.integer[Any]]) -> pa.Array:
        return self.take(name, rows.astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class HeldLog(Log):
    """A log whose items are in memory; its events are in none of its folders."""

    dimension: Items

    @property
    def items(self) -> Dimension:
        return self.dimension


@dataclass(frozen=True, kw_only=True)
class Base:
    """A loaded base.

    Args:
        as_of_ms, horizon_ms: as the module says. ``until_ms``: the log's last event, plus one.
        behaviors: ``behaviors_schema``, by user. interactions: ids, time, labels, by user and time.
        shown: older interactions that counters of pairs look at, by user.
        acts: behaviours from the horizon on that counters of one key count, each once, by user and
            time: ``user_id``, ``item_id``, ``event_time``, ``action``.
        sums: a counter each, of what is older (:func:`sums_of`): of interactions, and of behaviours.
    """

    log: HeldLog
    as_of_ms: int
    horizon_ms: int
    until_ms: int
    behaviors: pa.Table
    interactions: pa.Table
    shown: pa.Table
    acts: pa.Table
    sums: tuple[tuple[pa.Table, pa.Table], ...]


def build_base(
    definition: DatasetDefinition,
    types: ColumnTypes,
    *,
    events: Path,
    as_of: datetime,
    out: Path,
    until: datetime | None = None,
) -> None:
    """Write the base of a log to ``out``, the same bytes for the same log.

    Args:
        definition: the data set definition.
        types: what ids and values are stored as.
        events: what ingest wrote.
        as_of: the first instant that can be asked for.
        out: folder, replaced as a whole.
        until: events from here on are left out (a replay sends them); all are in when None.

    Raises:
        DataError: a file is damaged or lacks columns.
        StorageError: the disk is full or not writable.
    """
    log = Log(definition=definition, types=types, events=events)
    now = round(as_of.timestamp() * 1000)
    horizon = horizon_of(definition, now)
    end = None if until is None else round(until.timestamp() * 1000)
    behaviors, interactions = _read(log, "behaviors", end), _read(log, "interactions", end)
    times = [integers(table["event_time"]) for table in (behaviors, interactions)]
    last = max((int(t.max()) for t in times if len(t)), default=now - 1)
    recent = pa.array(times[1] >= horizon)
    old = interactions.filter(pc.invert(recent))
    rows = interactions.filter(recent).sort_by(
        [(name, "ascending") for name in ("user_id", "event_time", "item_id", "request_id")]
    )
    names = ["item_id", "valid_from", *_item_columns(definition)]
    kept = ["request_id", "user_id", *shown_columns(definition)]
    acts = acts_of(log, behaviors)
    late = pa.array(integers(acts["event_time"]) >= horizon)
    old_acts = acts.filter(pc.invert(late))
    members = {
        "behaviors": _behaviors(log, behaviors, now),
        "interactions": rows.select(kept),
        "shown": shown_before(log, old),
        "items": log.items.table.select(names),
        "acts": acts.filter(late),
    }
    for number, counter in enumerate(definition.counters):
        shown, acted = Counting.of(definition, counter)
        members[f"sums-{number}"] = sums_of(log, shown, old)
        members[f"acted-{number}"] = sums_of(log, acted, old_acts)
    about = {
        "format": FORMAT,
        "as_of_ms": now,
        "horizon_ms": horizon,
        "until_ms": max(last + 1, now),
        "definition": json.loads(definition.to_json()),
        "types": types.to_json(),
    }
    with atomic_file(out) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        _put(file, "about.json", json.dumps(about, sort_keys=True).encode())
        for name, table in members.items():
            sink = io.BytesIO()
            pq.write_table(table, sink, compression="zstd")
            _put(file, f"{name}.parquet", sink.getvalue())


def read_base(path: Path) -> Base:
    """Read a base.

    Raises:
        StorageError: the file is missing, cut short or of another release; names it.
    """
    try:
        with zipfile.ZipFile(path) as file:
            about = json.loads(file.read("about.json"))
            if about["format"] != FORMAT:
                raise StorageError(
                    f"{path}: is of format {about['format']}, this release reads {FORMAT}.",
                    hint="Publish again with this release.",
                )
            definition = DatasetDefinition.parse(about["definition"])
            tables = {
                name.removesuffix(".parquet"): pq.read_table(io.BytesIO(file.read(name)))
                for name in file.namelist()
                if name.endswith(".parquet")
            }
        log = HeldLog(
            definition=definition,
            types=ColumnTypes.from_json(about["types"]),
            events=path.parent,
            dimension=Items(tables["items"], "item_id"),
        )
        return Base(
            log=log,
            as_of_ms=about["as_of_ms"],
            horizon_ms=about["horizon_ms"],
            until_ms=about["until_ms"],
            behaviors=tables["behaviors"].combine_chunks(),
            interactions=tables["interactions"].combine_chunks(),
            shown=tables["shown"].combine_chunks(),
            acts=tables["acts"].combine_chunks(),
            sums=tuple(
                (tables[f"sums-{n}"], tables[f"acted-{n}"]) for n in range(len(definition.counters))
            ),
        )
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: is not a whole base of live features ({error}).", hint="Publish again."
        ) from error


def _read(log: Log, table: str, end: int | None) -> pa.Table:
    schema = log.schema(table)
    pieces = [read_rows(task, schema) for task in read_tasks(log.events, table)]
    found = pa.concat_tables([schema.empty_table(), *pieces]).combine_chunks()
    if end is None:
        return found
    return found.filter(pc.less(found["event_time"], pa.scalar(end, pa.int64()).cast(TIME)))


def _item_columns(definition: DatasetDefinition) -> list[str]:
    """Attributes of items that events carry or counters have for a key."""
    keys = [key for counter in definition.counters for key in counter.keys]
    wanted = (*definition.sequences.columns, *keys)
    return [name for name in definition.item_columns if name in wanted]


def _behaviors(log: Log, behaviors: pa.Table, now: int) -> pa.Table:
    """Those of the history at ``now`` and all that come after it, each once, by user."""
    (users, items), (actions,) = (
        [ranks([behaviors[name]])[0][0] for name in ("user_id", "item_id")],
        ranks([behaviors["action"]])[0],
    )
    times = integers(behaviors["event_time"])
    order = order_behaviors(
        users=users,
        times=times,
        positions=integers(behaviors["position"]),
        items=items,
        actions=actions,
        exact=flat(behaviors["time_exact"]).to_numpy(zero_copy_only=False),
    )
    users, times = users[order], times[order]
    index = TimeIndex(users, times, int(users.max(initial=-1)) + 1)
    kept = sequences.history(index, now, log.definition.sequences)
    kept |= times >= now - log.delay_ms
    kept |= acted_lately(log, behaviors.take(pa.array(order)))
    return behaviors.take(pa.array(order[kept]))


def _put(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
