"""What a pod counted, written down: JSON lines that add up over pods and hours.

``monitor-YYYY-MM-DDTHH.jsonl`` beside the exposures, a line every few minutes. The monitor step
reads them, so that its figures are the gauges' own and need no Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from hemix.serving.exposures.files import files_at
from hemix.storage import join, list_files, read_bytes
from hemix.texts.frozen import Frozen

KIND = "monitor"


class Snapshot(Frozen):
    """What one process counted since its snapshot before.

    ``features``: version -> feature -> counts of the bins of its training histogram, and of what no
    bin holds. ``samples``: version -> requests these were counted on. ``newest``: view -> time of
    the newest row read, epoch ms.
    """

    time_ms: int
    process: str
    users: int = 0
    unknown_users: int = 0
    items: int = 0
    unknown_items: int = 0
    samples: Mapping[str, int] = {}
    features: Mapping[str, Mapping[str, list[int]]] = {}
    newest: Mapping[str, int] = {}


class SnapshotFiles:
    """Writes snapshots to ``location``, a folder or an object store's prefix."""

    def __init__(self, location: str) -> None:
        self._files = files_at(location, KIND)

    def write(self, snapshot: Snapshot) -> None:
        """Append one; StorageError when it cannot."""
        when = datetime.fromtimestamp(snapshot.time_ms / 1000, UTC)
        line = orjson.dumps(snapshot.model_dump(mode="json"), option=orjson.OPT_APPEND_NEWLINE)
        self._files.write(when.strftime("%Y-%m-%dT%H"), line)


def read_snapshots(location: str) -> tuple[list[Snapshot], int]:
    """All snapshots at ``location``, oldest first, and how many lines could not be read.

    Raises:
        StorageError: a file cannot be read.
    """
    found: list[Snapshot] = []
    unreadable = 0
    for line in _lines(location):
        try:
            found.append(Snapshot.model_validate_json(line))
        except ValidationError:
            unreadable += 1
    return sorted(found, key=lambda snapshot: (snapshot.time_ms, snapshot.process)), unreadable


def _lines(location: str) -> Iterator[bytes]:
    for name in list_files(location):
        last: Any = name.rpartition("/")[2]
        if last.startswith(f"{KIND}-") and last.endswith(".jsonl"):
            yield from (read_bytes(join(location, name)) or b"").splitlines()
