"""Live events in a sqlite file: for one machine, any number of processes.

A batch is one IMMEDIATE transaction, flushed to the disk before :meth:`SqliteEvents.append` returns
(``synchronous=FULL``). Readers keep no cursor, so that the write-ahead log can be folded.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hemix.features.live.events import LiveEvent
from hemix.features.live.stores.base import (
    MOST_EVENTS,
    EventsFull,
    EventsUnavailable,
    Mark,
    Outcome,
    Page,
)
from hemix.limits import limit_of

FILE = "events.db"
WAIT_S = 5.0
_PRUNED_AT_ONCE = 10_000
_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    time_ms INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_time ON events (time_ms);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


class SqliteEvents:
    """The events in ``path``, made when absent; ``most``: how many it may hold.

    Raises:
        EventsUnavailable: the file cannot be opened, or is no such store.
    """

    durable = True

    def __init__(self, path: Path, *, most: int = MOST_EVENTS, wait_s: float = WAIT_S) -> None:
        self._path, self._most = path, most
        self._writing, self._reading = threading.Lock(), threading.Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open(wait_s)
            self._reader = self._open(wait_s)
            with self._transaction() as cursor:
                for statement in _TABLES.split(";"):
                    cursor.execute(statement)
                cursor.execute(
                    "INSERT INTO facts VALUES ('life', ?) ON CONFLICT DO NOTHING",
                    (uuid.uuid4().hex,),
                )
        self.life = self._fact("life")

    def _open(self, wait_s: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=wait_s, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """As :class:`EventStore` says."""
        with self._errors(), self._transaction() as cursor:
            forgotten = _forgotten(cursor)
            outcomes: list[Outcome] = []
            for event in events:
                if event.time_ms < forgotten:
                    outcomes.append("too_old")
                    continue
                cursor.execute(
                    "INSERT INTO events (id, time_ms, text) VALUES (?, ?, ?)"
                    " ON CONFLICT (id) DO NOTHING",
                    (event.event_id, event.time_ms, event.to_text()),
                )
                outcomes.append("accepted" if cursor.rowcount == 1 else "duplicate")
            fresh = outcomes.count("accepted")
            if fresh and (held := _grow(cursor, fresh)) > self._most:
                raise EventsFull(held - fresh, self._most)
            return outcomes

    def since(self, mark: Mark | None, limit: int = 5_000) -> Page:
        """As :class:`EventStore` says."""
        again = mark is not None and mark.life != self.life
        last = 0 if mark is None or again else mark.number
        with self._errors(), self._reading:
            rows = self._reader.execute(
                "SELECT number, text FROM events WHERE number > ? ORDER BY number LIMIT ?",
                (last, limit),
            ).fetchall()
        if rows:
            last = rows[-1][0]
        return Page(
            events=tuple(LiveEvent.from_text(text) for _, text in rows),
            mark=Mark(life=self.life, number=last),
            again=again,
        )

    def prune(self, before_ms: int) -> int:
        """As :class:`EventStore` says; a part at a time, so that writers wait for none of it long."""
        gone = 0
        while True:
            with self._errors(), self._transaction() as cursor:
                if before_ms > _forgotten(cursor):
                    cursor.execute(
                        "INSERT INTO facts VALUES ('forgotten_ms', ?)"
                        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                        (str(before_ms),),
                    )
                cursor.execute(
                    "DELETE FROM events WHERE number IN"
                    " (SELECT number FROM events WHERE time_ms < ? LIMIT ?)",
                    (before_ms, _PRUNED_AT_ONCE),
                )
                part = cursor.rowcount
                _grow(cursor, -part)
            gone += part
            if part < _PRUNED_AT_ONCE:
                return gone

    def forgotten_ms(self) -> int:
        """As :class:`EventStore` says."""
        return int(self._fact("forgotten_ms") or 0)

    def size(self) -> int:
        """As :class:`EventStore` says."""
        with self._errors(), self._reading:
            return _size(self._reader)

    def close(self) -> None:
        """Close the connections."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def _fact(self, name: str) -> str:
        with self._errors(), self._reading:
            row = self._reader.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        with self._writing:
            cursor = self._writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    cursor.execute("ROLLBACK")
                raise
            finally:
                cursor.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if limit := limit_of(error):
                raise limit.error(self._path) from error
            raise EventsUnavailable(
                f"{self._path}: the store of live events failed ({error}).",
                hint="Send the events again; an event that was taken counts once.",
            ) from error


def _size(cursor: sqlite3.Cursor | sqlite3.Connection) -> int:
    """Kept beside the events, in their transactions: counting millions takes a second."""
    row = cursor.execute("SELECT value FROM facts WHERE name = 'held'").fetchone()
    return int(row[0]) if row else 0


def _grow(cursor: sqlite3.Cursor, by: int) -> int:
    held = _size(cursor) + by
    cursor.execute(
        "INSERT INTO facts VALUES ('held', ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (str(held),),
    )
    return held


def _forgotten(cursor: sqlite3.Cursor) -> int:
    row = cursor.execute("SELECT value FROM facts WHERE name = 'forgotten_ms'").fetchone()
    return int(row[0]) if row else 0
