"""kfp.local with its root on S3: what one machine made another finds, and brings only what it needs."""

from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from hemix import storage
from hemix.errors import StorageError
from hemix.pipelines.local.execution import LocalRun
from hemix.pipelines.local.folder import RunFolder
from tests.pipelines.test_local import Notes


@dsl.component(base_image="hemix/python:test", install_kfp_package=False)
def make(start: int, made: Output[Artifact]) -> int:
    """Write a folder."""
    from pathlib import Path

    from hemix.components.process import step_process

    with step_process():
        Path(made.path).mkdir(parents=True)
        (Path(made.path) / "number").write_text(str(start))
    return start


@dsl.component(base_image="hemix/python:test", install_kfp_package=False)
def add(number: int, first: Input[Artifact], total: Output[Artifact]) -> None:
    """Read a folder, write a file."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.progress import say

    with step_process():
        found = int((Path(first.path) / "number").read_text())
        say(f"adding {number} to {found}")
        Path(total.path).write_text(str(found + number))


@dsl.pipeline(name="adding")
def adding(start: int = 1, number: int = 1) -> None:
    first = make(start=start)
    add(number=number, first=first.outputs["made"])


def run(root: Path, location: str, **arguments: int) -> Notes:
    notes = Notes()
    LocalRun(root=root, logs=root / "logs", observer=notes, remote=location).run(adding, arguments)
    return notes


def total(notes: Notes) -> bytes | None:
    return storage.read_bytes(notes.results[1].artifacts["total"])


def test_another_machine_finds_what_was_made_and_brings_only_what_it_needs(
    bucket: str, tmp_path: Path
) -> None:
    root = f"{bucket}/runs/a"
    first = run(tmp_path / "one", root, start=3)
    assert [r.cached for r in first.results] == [False, False]
    assert total(first) == b"4"
    assert first.results[0].artifacts["made"].startswith(f"{root}/artifacts/adding-")
    assert b"adding 1 to 3" in (storage.read_bytes(f"{root}/logs/add.log") or b"")

    again = run(tmp_path / "two", root, start=3)
    assert [r.cached for r in again.results] == [True, True]
    assert [r.artifacts for r in again.results] == [r.artifacts for r in first.results]
    assert not list((tmp_path / "two").rglob("number"))

    more = run(tmp_path / "three", root, start=3, number=10)
    assert [r.cached for r in more.results] == [True, False]
    assert total(more) == b"13"
    assert [p.read_text() for p in (tmp_path / "three").rglob("number")] == ["3"]


def test_what_is_not_whole_any_more_is_made_again(bucket: str, tmp_path: Path) -> None:
    root = f"{bucket}/runs/a"
    first = run(tmp_path / "one", root, start=3)
    storage.remove(first.results[1].artifacts["total"])
    again = run(tmp_path / "two", root, start=3)
    assert [r.cached for r in again.results] == [True, False]
    assert total(again) == b"4"


def test_an_input_that_was_changed_stops_the_run(bucket: str, tmp_path: Path) -> None:
    root = f"{bucket}/runs/a"
    first = run(tmp_path / "one", root, start=3)
    storage.write_bytes(f"{first.results[0].artifacts['made']}/number", b"7")
    with pytest.raises(StorageError, match=r"number: not the file that was uploaded"):
        run(tmp_path / "two", root, start=3, number=2)


def test_the_folder_of_a_remote_root(bucket: str, tmp_path: Path) -> None:
    folder = RunFolder.at(f"{bucket}/runs/a/")
    assert folder.location == f"{bucket}/runs/a"
    assert folder.registry == f"{bucket}/runs/a/registry"
    assert folder.root.is_relative_to(tmp_path / "hemix-cache")
    assert folder.root != RunFolder.at(f"{bucket}/runs/b").root
    local = RunFolder.at(tmp_path / "out")
    assert local.location == str(tmp_path / "out")
    assert local.registry == str(tmp_path / "out" / "registry")
    with folder.locked() as check:
        check()
        assert ".lock.json" in storage.list_files(folder.location)
    assert storage.list_files(folder.location) == []
