"""Files are whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hemix.errors import StorageError
from hemix.files import (
    atomic_file,
    atomic_folder,
    link_or_copy,
    lock,
    locked,
    read_json,
    sha256_folder,
    sweep,
    write_json,
)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})

    def fail() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert read_json(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_folder(path) as temporary:
            (temporary / text).write_text(text)
    assert list(sha256_folder(path)) == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_unwritable_path_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_json(tmp_path / "file" / "below.json", {})


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(StorageError, match=r"x\.json: not valid JSON"):
        read_json(tmp_path / "x.json")


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()}


def test_what_is_written_is_as_readable_as_the_umask_says(umask: int, tmp_path: Path) -> None:
    """Also what a library wrote as a private file of its own, and what was copied from one."""
    private = tmp_path / "private"
    private.touch(mode=0o600)
    (tmp_path / "out").mkdir()
    with atomic_file(tmp_path / "out" / "file") as temporary:
        shutil.copy(private, tmp_path / "other")
        os.replace(tmp_path / "other", temporary)
    with atomic_folder(tmp_path / "out" / "folder", durable=True) as temporary:
        (temporary / "inner").mkdir(mode=0o700)
        shutil.copy(private, temporary / "inner" / "copied")
        (temporary / "own").touch()
    assert modes(tmp_path / "out") == {0o666 & ~umask}
    for folder in (tmp_path / "out" / "folder", tmp_path / "out" / "folder" / "inner"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    flush, replace, rename = os.fsync, os.replace, os.rename

    def fsync(handle: int) -> None:
        seen.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("named"), replace(a, b)))
    monkeypatch.setattr(os, "rename", lambda a, b: (seen.append("named"), rename(a, b)))
    write_json(tmp_path / "state.json", {})
    assert [s.rsplit(".", 1)[-1] for s in seen] == ["tmp", "named", f"fsync {tmp_path.name}"]
    seen.clear()
    with atomic_folder(tmp_path / "version", durable=True) as temporary:
        (temporary / "weights").write_text("w")
    assert [s.rsplit(".", 1)[-1] for s in seen] == [
        "fsync weights",
        "tmp",
        "named",
        f"fsync {tmp_path.name}",
    ]


def test_only_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from hemix.files import atomic_file, atomic_folder
root = Path(sys.argv[1])
with atomic_folder(root / "a" / "folder") as folder, atomic_file(root / "file") as file:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    left = sorted(tmp_path.rglob(".*"))
    assert len(left) == 2
    for name in (".hidden", ".lock", ".mine.tmp", "a/kept"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1, 1))
    with atomic_folder(tmp_path / "b" / "live") as live:
        (live / "part").write_text("being written")
        os.utime(live, (1, 1))  # the folder's own time says nothing of what is below
        assert sweep(tmp_path) == []
        for path in [*left, *left[1].rglob("*"), *left[0].rglob("*")]:
            os.utime(path, (1, 1))
        assert sorted(sweep(tmp_path)) == left
        assert live.exists()
    assert {p.name for p in tmp_path.rglob(".*")} == {".hidden", ".lock", ".mine.tmp"}


def test_a_name_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_json(path, {})
    assert read_json(path) == {}


def test_a_lock_is_held_by_one_at_a_time_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    with locked(path, hint=""):
        assert lock(path, hint="", wait=False) is None
    held = lock(path, hint="", wait=False)
    assert held is not None
    held.close()


def test_a_folder_that_cannot_hold_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file: cannot write") as caught:
        lock(tmp_path / "file" / ".lock", hint="Choose another.")
    assert caught.value.hint == "Choose another."


def test_a_second_name_costs_nothing_and_a_copy_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "rows"
    source.write_text("kept")
    for _ in range(2):  # the second time it is the same file already
        with atomic_file(tmp_path / "linked") as path:
            link_or_copy(source, path)
    assert sorted(os.listdir(tmp_path)) == ["linked", "rows"]
    assert (tmp_path / "linked").samefile(source)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr("os.link", refuse)
    link_or_copy(source, tmp_path / "copied")
    assert not (tmp_path / "copied").samefile(source)
    source.unlink()
    assert (tmp_path / "linked").read_text() == (tmp_path / "copied").read_text() == "kept"
    with pytest.raises(FileNotFoundError):
        link_or_copy(source, tmp_path / "none")
