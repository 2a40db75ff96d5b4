"""One writer at a time in a place that has no file locks: a lease that its holder keeps renewing.

The holder rewrites a small file every few seconds, each time on condition that it is still his. Who
finds the file watches it: a change shows that the holder lives; a file that stays the same for
:data:`EXPIRES_S` by the watcher's own clock belongs to a process that died, and is taken over. No two
machines' clocks are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from hemix import storage
from hemix.errors import EnvironmentProblem, StorageError

RENEW_S = 5.0
EXPIRES_S = 20.0


class Lease:
    """A lease that this process holds on ``location``."""

    def __init__(self, location: str, tag: str) -> None:
        self.location = location
        self._tag = tag
        self.lost = ""
        """Why the lease is no longer ours; empty while it is."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """EnvironmentProblem when the lease was lost: what is written now may meet another's."""
        if self.lost:
            raise EnvironmentProblem(
                f"{self.location}: the lease was lost ({self.lost}).",
                hint="Another run may be working there; run this one again when it has ended.",
            )

    def release(self) -> None:
        """Stop renewing; remove the file when it is still ours."""
        self._end.set()
        self._thread.join()
        if not self.lost:
            found = storage.fetch(self.location)
            if found and found.etag == self._tag:
                storage.remove(self.location)

    def _renew(self) -> None:
        good = time.monotonic()
        while not self._end.wait(RENEW_S):
            try:
                self._tag = storage.write_bytes(self.location, _note(), if_match=self._tag)
                good = time.monotonic()
            except storage.Conflict:
                self.lost = "another process took it over"
                return
            except StorageError as error:
                if time.monotonic() - good > EXPIRES_S:
                    self.lost = str(error)
                    return


@contextlib.contextmanager
def lease(location: str, *, what: str, wait_s: float = 0.0) -> Iterator[Lease]:
    """Hold the lease at ``location`` for the block.

    Args:
        location: a file here or in a store; it is made, and removed at the end.
        what: who is told to wait: "another run is working in s3://...".
        wait_s: how long to wait for a holder that lives.

    Raises:
        EnvironmentProblem: another process holds it.
        StorageError: the place cannot be read or written.
    """
    held = Lease(location, _take(location, what, wait_s))
    try:
        yield held
    finally:
        held.release()


def _take(location: str, what: str, wait_s: float) -> str:
    start = time.monotonic()
    watched, since = "", start
    while True:
        found = storage.fetch(location)
        now = time.monotonic()
        try:
            if found is None:
                return storage.write_bytes(location, _note(), if_match=storage.ABSENT)
            if found.etag != watched:
                if watched and now - start > wait_s:
                    raise EnvironmentProblem(
                        f"{what}: {_holder(found.data)}.",
                        hint="Wait for it to end, or choose another place.",
                    )
                watched, since = found.etag, now
            elif now - since > EXPIRES_S:
                return storage.write_bytes(location, _note(), if_match=watched)
        except storage.Conflict:
            watched = ""
        time.sleep(min(0.5, RENEW_S / 4))


def _note() -> bytes:
    """Never the same twice: its tag must change with every renewal."""
    now = datetime.now(UTC).isoformat()
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "renewed": now}).encode()


def _holder(data: bytes) -> str:
    try:
        told = json.loads(data)
        return f"process {told['pid']} on {told['host']}"
    except (ValueError, KeyError, TypeError):
        return "an unknown process"
