"""A live feature store on S3: ``live.json`` names the snapshot that is live.

A snapshot holds the settings, the registry file and, with sqlite, the online rows; it is uploaded
whole under a new name before ``live.json`` is turned to it, so readers see the store of before or the
new one. Offline rows lie beside, ``offline/<view>/<as_of>.parquet``. With redis and a SQL registry
the rows and the services themselves are there, and a snapshot is a few kilobytes.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemix import storage
from hemix.errors import FeatureStoreError, StorageError
from hemix.features.store.objects import OFFLINE
from hemix.files import digest_of, read_json, sha256_folder
from hemix.lease import lease

LIVE = "live.json"
SNAPSHOTS = "snapshots"
LOCK = "lock.json"
KEPT = 5
"""Snapshots that stay: a reader that has just looked still finds the one before."""
WAIT_S = 600.0
_PUBLISHED = "published.json"
_OWN = (".lock", "-wal", "-shm", ".tmp")


def live_folder(live: Path | str) -> Path:
    """A local folder of the live store as it is now: itself, or a verified copy from S3.

    Raises:
        FeatureStoreError: there is no live store.
        StorageError: it cannot be brought.
    """
    if not storage.is_remote(live):
        return Path(live)
    for attempt in (1, 2):
        pointer = _pointer(str(live))
        if pointer is None:
            raise FeatureStoreError(
                f"{live} is not a live feature store.",
                hint="Deploy a version first (hemix run), or pass --features PLACE.",
            )
        try:
            return storage.local_copy(storage.join(live, pointer["snapshots"][-1]))
        except StorageError:
            if attempt == 2:  # else: it may have been swept since we looked
                raise
    raise AssertionError("unreachable")


@contextlib.contextmanager
def working_copy(live: str) -> Iterator[Path]:
    """A folder with the live store to work on; what was made of it goes live when the block ends well.

    One publisher at a time works, the others wait.
    """
    what = f"Another process publishes to {live}"
    with (
        lease(storage.join(live, LOCK), what=what, wait_s=WAIT_S) as held,
        tempfile.TemporaryDirectory(prefix="hemix-live-") as scratch,
    ):
        stored = storage.fetch(storage.join(live, LIVE))
        pointer = _parse(stored.data, live) if stored else {"snapshots": []}
        folder = Path(scratch) / "live"
        folder.mkdir()
        if pointer["snapshots"]:
            storage.download(storage.join(live, pointer["snapshots"][-1]), folder)
        before = _views(folder)
        yield folder
        _push_rows(folder, live, before)
        held.check()
        _push(folder, live, pointer, stored.etag if stored else storage.ABSENT)


def _push_rows(folder: Path, live: str, before: dict[str, Any]) -> None:
    """Offline rows of views that are new, and those of an instant that was not there."""
    there = set(storage.list_files(storage.join(live, OFFLINE)))
    after = _views(folder)
    for path in sorted((folder / OFFLINE).rglob("*.parquet")):
        name = path.relative_to(folder / OFFLINE).as_posix()
        view = path.parent.name
        if name not in there or after.get(view) != before.get(view):
            storage.write_bytes(storage.join(live, OFFLINE, name), path.read_bytes())


def _push(folder: Path, live: str, pointer: dict[str, Any], tag: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        snapshot = Path(scratch) / "snapshot"
        snapshot.mkdir()
        for path in folder.iterdir():
            if path.is_file() and not path.name.endswith(_OWN):
                path.rename(snapshot / path.name)
        name = f"{SNAPSHOTS}/{digest_of(sha256_folder(snapshot))}"
        before = pointer["snapshots"]
        if before and before[-1] == name:
            return
        storage.upload(snapshot, storage.join(live, name))
    names = [*(old for old in before if old != name), name]
    text = json.dumps({"snapshots": names[-KEPT:]}, indent=2) + "\n"
    storage.write_bytes(storage.join(live, LIVE), text.encode(), if_match=tag)
    for old in names[:-KEPT]:
        storage.remove(storage.join(live, old))


def _views(folder: Path) -> dict[str, Any]:
    path = folder / _PUBLISHED
    return dict(read_json(path).get("views", {})) if path.exists() else {}


def _pointer(live: str) -> dict[str, Any] | None:
    data = storage.read_bytes(storage.join(live, LIVE))
    return None if data is None else _parse(data, live)


def _parse(data: bytes, live: str) -> dict[str, Any]:
    try:
        pointer = json.loads(data)
        return {"snapshots": [str(name) for name in pointer["snapshots"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise FeatureStoreError(
            f"{storage.join(live, LIVE)}: not a live feature store ({error}).",
            hint="Restore it from a copy, or publish to another place.",
        ) from error
