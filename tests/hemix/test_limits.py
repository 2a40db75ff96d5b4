"""A full disk and its like are known whichever library met them."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from hemix.errors import DataError, EnvironmentProblem, StorageError, Unforeseen
from hemix.files import atomic_file, atomic_folder, write_json
from hemix.unforeseen import told_as
from tests.disks import tiny_disk

FULL = Path("/dev/full")
"""Every write to it finds no space."""


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 64 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 kB."""
    with tiny_disk(tmp_path / "disk", "128k") as folder:
        yield folder


def _sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x BLOB)")
        database.execute("INSERT INTO t VALUES (zeroblob(1000000))")
        database.commit()


NOISE = np.random.default_rng(0).random(1 << 17)
WRITERS: dict[str, Callable[[Path], object]] = {
    "json": lambda path: path.write_text("x" * 1_000_000),
    "pyarrow": lambda path: pq.write_table(pa.table({"x": NOISE}), path),
    "polars": lambda path: pl.DataFrame({"x": NOISE}).write_parquet(path),
    "polars csv": lambda path: pl.DataFrame({"x": NOISE}).write_csv(path),
    "safetensors": lambda path: save_file({"x": NOISE}, path),
    "sqlite": _sqlite,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_by_every_library(writer: str, disk: Path) -> None:
    def write(path: Path) -> None:
        with atomic_file(path) as temporary:
            WRITERS[writer](temporary)

    with pytest.raises(StorageError, match=r"disk/out: cannot write \(") as caught:
        write(disk / "out")
    assert "disk is full" in caught.value.hint
    assert not [path for path in disk.iterdir() if not path.name.endswith("-journal")]


@pytest.mark.parametrize("writer", sorted(set(WRITERS) - {"sqlite"}))
def test_so_is_a_limit_on_files(writer: str, small_files: None, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"), atomic_folder(tmp_path / "out") as out:
        WRITERS[writer](out / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_copied_folder_is_too_large(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "large").write_bytes(b"x" * 1_000_000)
    with (
        pytest.raises(StorageError, match="cannot write") as caught,
        atomic_folder(disk / "to") as folder,
    ):
        shutil.copytree(tmp_path / "from", folder, dirs_exist_ok=True)
    assert "disk is full" in caught.value.hint
    assert list(disk.iterdir()) == []


def test_a_device_without_space() -> None:
    if not FULL.exists():
        pytest.skip("there is no /dev/full")
    with pytest.raises(OSError, match="No space") as caught:
        FULL.write_text("x")
    told = told_as(caught.value)
    assert type(told) is StorageError
    assert told.exit_code == 9


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EIO, "disk"),
        (errno.ENOSPC, "TMPDIR"),
    ],
)
def test_the_hint_is_that_of_the_limit(number: int, words: str) -> None:
    told = told_as(OSError(number, os.strerror(number)))
    assert type(told) is StorageError
    assert words in told.hint


def test_words_alone_are_known_also_behind_other_errors() -> None:
    def raised() -> None:
        try:
            raise RuntimeError("UNKNOWN: a.pb; No space left on device")
        except RuntimeError:
            raise LookupError("could not finish") from None  # the first one was dealt with

    def behind() -> None:
        try:
            raise RuntimeError("UNKNOWN: a.pb; No space left on device")
        except RuntimeError as error:
            raise LookupError("could not finish") from error

    with pytest.raises(LookupError) as mended:
        raised()
    assert type(told_as(mended.value)) is Unforeseen
    with pytest.raises(LookupError) as caught:
        behind()
    assert type(told_as(caught.value)) is StorageError
    assert type(told_as(ExceptionGroup("two", [ValueError(), caught.value]))) is StorageError


def test_a_refused_socket_is_not_a_refused_file(tmp_path: Path) -> None:
    assert type(told_as(PermissionError(errno.EACCES, "Permission denied"))) is Unforeseen
    told = told_as(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "log.csv")))
    assert type(told) is StorageError
    assert "log.csv: cannot read or write" in told.message
    assert type(told_as(socket.gaierror(-2, "Name or service not known"))) is Unforeseen


def test_memory_is_no_disk() -> None:
    with pytest.raises(MemoryError) as caught:
        np.zeros(1 << 60, np.int8)
    told = told_as(caught.value)
    assert type(told) is EnvironmentProblem
    assert "Unable to allocate" in told.message
    assert "memory" in told.hint


def test_an_error_of_ours_keeps_its_words_and_gets_the_hint() -> None:
    def read() -> None:
        try:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        except OSError as error:
            raise DataError("a.parquet: cannot read.", hint="Run ingest again.") from error

    with pytest.raises(DataError) as caught:
        read()
    told = told_as(caught.value)
    assert type(told) is StorageError
    assert told.message == "a.parquet: cannot read."
    assert "ulimit -n" in told.hint
    assert told_as(DataError("x", hint="y")).hint == "y"


def test_no_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "absent")])
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.mkdtemp()
    told = told_as(caught.value)
    assert type(told) is StorageError
    assert "TMPDIR" in told.hint


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long") as caught:
        write_json(tmp_path / ("n" * 300), {})
    assert "shorter" in caught.value.hint
