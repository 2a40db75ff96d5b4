"""Checkpoints at a location: in a folder as they are, or on S3 by way of a folder of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hemix import storage

CURVES = "tensorboard"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """``folder``: where a trainer reads and writes; ``location``: where it is kept."""

    location: str
    folder: Path

    def fetch(self) -> None:
        """Bring what an earlier attempt left."""
        if storage.is_remote(self.location):
            for name in storage.list_files(self.location):
                if _kept(name) and (data := storage.read_bytes(self._at(name))) is not None:
                    storage.write_bytes(str(self.folder / name), data)

    def keep(self) -> None:
        """Bring checkpoint and curves to the location; each file is replaced as a whole."""
        if storage.is_remote(self.location):
            for name in storage.list_files(str(self.folder)):
                if _kept(name):
                    storage.write_bytes(self._at(name), (self.folder / name).read_bytes())

    def _at(self, name: str) -> str:
        return storage.join(self.location, name)


@contextmanager
def open_checkpoints(location: str, *, fetch: bool = True) -> Iterator[Checkpoints]:
    """The checkpoints at ``location``, a folder or ``s3://``; ``fetch`` brings what is there.

    Raises:
        StorageError: the location cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="hemix-checkpoints-") as scratch:
        remote = storage.is_remote(location)
        found = Checkpoints(location=location, folder=Path(scratch if remote else location))
        if fetch:
            found.fetch()
        yield found


def _kept(name: str) -> bool:
    from hemix.models.training.checkpoint import NAME

    return name == NAME or name.startswith(f"{CURVES}/")
