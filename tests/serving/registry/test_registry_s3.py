"""The registry on S3 (moto's server): the same moves, and no writer's change lost."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hemix import s3, storage
from hemix.errors import ModelVersionError, RegistryError, StorageError
from hemix.files import sha256_folder
from hemix.serving.registry.opening import find_registry, open_registry, require_registry
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.s3 import S3Registry
from tests.serving.live import Workshop
from tests.serving.registry.test_registry import renamed


@pytest.fixture
def registry(bucket: str) -> Registry:
    return open_registry(f"{bucket}/run/registry/")


def test_a_version_goes_its_way_and_every_move_can_be_repeated(
    workshop: Workshop, registry: Registry
) -> None:
    assert isinstance(registry, S3Registry)
    assert not registry.exists()
    for _ in range(2):
        registry.add(workshop.model("v1"), share=None, who="pipeline", why="first")
        registry.add(workshop.model("v2"), share=None)
    assert registry.state().versions == {"v1": "champion", "v2": "candidate"}
    for _ in range(2):
        registry.challenge("v2", share=0.2, who="ana", why="try it")
    for _ in range(2):
        registry.promote("v2", who="ben", why="better", verdict="experiment: promote")
    for _ in range(2):
        registry.rollback("v2", who="eva", why="slow")
    for _ in range(2):
        registry.retire("v2")
    history = registry.state().history
    assert [(e.what, e.version) for e in history] == [
        ("add", "v1"),
        ("add", "v2"),
        ("challenge", "v2"),
        ("promote", "v2"),
        ("roll back", "v2"),
    ]
    assert [(e.who, e.why, e.verdict) for e in history[2:]] == [
        ("ana", "try it", ""),
        ("ben", "better", "experiment: promote"),
        ("eva", "slow", ""),
    ]
    assert registry.state().versions == {"v1": "champion", "v2": "retired"}


def test_a_version_comes_back_as_it_went_in(workshop: Workshop, registry: Registry) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    folder = registry.folder("v1")
    assert sha256_folder(folder) == sha256_folder(workshop.model("v1"))
    assert registry.folder("v1") == folder
    assert registry.manifest("v1").version == "v1"
    assert registry.location_of("v1") == f"{registry.location}/versions/v1"
    with pytest.raises(RegistryError, match="no version 'v9'"):
        registry.folder("v9")
    assert require_registry(registry.location).state().champion == "v1"
    assert find_registry(storage.parent(registry.location)).location == registry.location


def test_one_name_never_means_two_models(
    workshop: Workshop, registry: Registry, tmp_path: Path
) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    other = tmp_path / "other"
    shutil.copytree(workshop.model("v2"), other)
    manifest = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(manifest.replace('"v2"', '"v1"'))
    before = registry.state()
    with pytest.raises(RegistryError, match=r"other content: model\.safetensors"):
        registry.add(other, share=0.1)
    assert registry.state() == before
    assert sha256_folder(registry.folder("v1")) == sha256_folder(workshop.model("v1"))


def test_an_add_that_died_leaves_nothing_visible_and_is_completed_by_the_next(
    workshop: Workshop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    before = registry.state()
    put = s3.put_file

    def die(path: Path, location: str) -> None:
        if path.name == "model.safetensors":
            raise KeyboardInterrupt
        put(path, location)

    with monkeypatch.context() as broken:
        broken.setattr(s3, "put_file", die)
        with pytest.raises(KeyboardInterrupt):
            registry.add(workshop.model("v2"), share=0.1)
    assert registry.state() == before
    with pytest.raises(StorageError, match="completion mark"):
        storage.local_copy(registry.location_of("v2"))
    registry.add(workshop.model("v2"), share=0.1)
    assert sha256_folder(registry.folder("v2")) == sha256_folder(workshop.model("v2"))


def test_whole_files_without_a_state_are_replaced(
    workshop: Workshop, registry: Registry, tmp_path: Path
) -> None:
    """An add that died between the files and the state, of a training with other weights."""
    other = tmp_path / "other"
    shutil.copytree(workshop.model("v1"), other)
    manifest = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(manifest.replace('"v1"', '"v2"'))
    storage.upload(other, registry.location_of("v2"))
    registry.add(workshop.model("v2"), share=0.1)
    assert sha256_folder(registry.folder("v2")) == sha256_folder(workshop.model("v2"))


def test_a_refused_add_uploads_nothing(workshop: Workshop, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="below 1"):
        registry.add(workshop.model("v1"), share=1.5)
    assert storage.list_files(registry.location) == []


def test_writers_at_the_same_time_lose_nothing(
    workshop: Workshop, registry: Registry, tmp_path: Path
) -> None:
    registry.add(workshop.model("v1"), share=None)
    names = [f"c{n}" for n in range(6)]
    models = [renamed(workshop, tmp_path / name, name) for name in names]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda model: registry.add(model, share=None), models))
        assert sorted(registry.state().versions) == [*names, "v1"]
        mine = pool.submit(lambda: [registry.retire(name, who="one") for name in names[:3]])
        yours = pool.submit(
            lambda: (
                registry.challenge("c3", share=0.1, who="two"),
                registry.promote("c3", who="two"),
                registry.retire("c4", who="two"),
                registry.rollback("c3", who="two"),
            )
        )
        mine.result()
        yours.result()
    state = registry.state()
    assert {n: state.versions[n] for n in names} == dict.fromkeys(names, "retired") | {
        "c5": "candidate"
    }
    assert state.champion == "v1"
    told = [(e.who, e.what, e.version) for e in state.history if e.what != "add"]
    assert [t for t in told if t[0] == "one"] == [("one", "retire", n) for n in names[:3]]
    assert [t for t in told if t[0] == "two"] == [
        ("two", "challenge", "c3"),
        ("two", "promote", "c3"),
        ("two", "retire", "c4"),
        ("two", "roll back", "c3"),
    ]


def test_a_state_that_always_changes_ends_with_an_error(
    workshop: Workshop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(workshop.model("v1"), share=None)
    registry.add(workshop.model("v2"), share=None)

    def late(location: str, *_: object, **__: object) -> str:
        raise storage.Conflict(location)

    monkeypatch.setattr("hemix.serving.registry.s3.TRIES", 3)
    monkeypatch.setattr(storage, "write_bytes", late)
    with pytest.raises(RegistryError, match="3 tries"):
        registry.challenge("v2", share=0.1)


def test_a_champion_without_files_is_named(workshop: Workshop, registry: Registry) -> None:
    registry.add(workshop.model("v1"), share=None)
    storage.remove(registry.location_of("v1"))
    with pytest.raises(ModelVersionError, match=r"versions/v1 lacks manifest\.json"):
        require_registry(registry.location)


def test_a_state_that_is_not_one_is_named(registry: Registry) -> None:
    storage.write_bytes(storage.join(registry.location, "state.json"), b"{}x")
    with pytest.raises(RegistryError, match=r"state\.json: not a registry state"):
        registry.state()
