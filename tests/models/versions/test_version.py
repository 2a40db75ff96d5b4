"""Model version folders: written whole, read only when untouched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hemix.errors import ModelVersionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.version import Manifest, load, verify, write


@pytest.fixture
def version(tmp_path: Path) -> Path:
    transform = tmp_path / "transform"
    (transform / "transform_fn").mkdir(parents=True)
    toy_spec().write(transform / "spec.json")
    (transform / "definition.json").write_text('{"name": "toy"}')
    (transform / "transform_fn" / "graph.pb").write_bytes(b"graph")
    torch.manual_seed(0)
    recipe = recipe_of("compact", {"model.token_width": "8"})
    write(
        tmp_path / "v1",
        ranker=build(recipe.ranker, toy_spec(), recipe.model),
        recipe=recipe,
        transform=transform,
        version="v1",
        feature_service="ranker_v1",
        training_window={"start": "2022-04-25", "end": "2022-05-01"},
        metrics={"validation_click_auc": 0.75},
    )
    return tmp_path / "v1"


def test_a_version_comes_back_as_it_was(version: Path) -> None:
    torch.manual_seed(0)
    recipe = recipe_of("compact", {"model.token_width": "8"})
    original = build(recipe.ranker, toy_spec(), recipe.model).eval()
    loaded = load(version)
    assert not loaded.ranker.training
    batch = toy_batch(rows=5)
    assert torch.equal(loaded.ranker(batch)["click"], original(batch)["click"])
    manifest = loaded.manifest
    assert manifest.version == "v1"
    assert manifest.recipe == "compact"
    assert manifest.spec == toy_spec()
    assert set(manifest.files) == {
        "model.safetensors",
        "transform/definition.json",
        "transform/spec.json",
        "transform/transform_fn/graph.pb",
    }
    assert Manifest.model_validate_json((version / "manifest.json").read_text()) == manifest


def test_nothing_in_a_version_is_a_pickle(version: Path) -> None:
    for file in version.rglob("*"):
        if file.is_file():
            head = file.read_bytes()[:2]
            assert head not in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"), file


@pytest.mark.parametrize(
    "name", ["model.safetensors", "transform/spec.json", "transform/transform_fn/graph.pb"]
)
def test_a_tampered_file_is_refused_and_named(version: Path, name: str) -> None:
    data = bytearray((version / name).read_bytes())
    data[len(data) // 2] ^= 1
    (version / name).write_bytes(bytes(data))
    with pytest.raises(ModelVersionError, match=name):
        load(version)


def test_a_missing_file_is_named(version: Path) -> None:
    (version / "model.safetensors").unlink()
    with pytest.raises(ModelVersionError, match=r"model\.safetensors.*missing"):
        verify(version)


def test_an_added_file_is_named(version: Path) -> None:
    (version / "transform" / "extra.py").write_text("x = 1")
    with pytest.raises(ModelVersionError, match=r"extra\.py"):
        verify(version)


def test_an_incomplete_manifest_is_refused(version: Path) -> None:
    path = version / "manifest.json"
    value = json.loads(path.read_text())
    del value["files"]
    path.write_text(json.dumps(value))
    with pytest.raises(ModelVersionError, match="files"):
        load(version)
    path.write_text("{")
    with pytest.raises(ModelVersionError, match=r"manifest\.json"):
        load(version)
    shutil.rmtree(version)
    with pytest.raises(ModelVersionError, match=r"manifest\.json"):
        load(version)


def test_weights_that_do_not_fit_are_refused(version: Path) -> None:
    path = version / "manifest.json"
    value = json.loads(path.read_text())
    value["config"]["model"]["rank"] = 5
    path.write_text(json.dumps(value))
    with pytest.raises(ModelVersionError, match="do not fit"):
        load(version)


def told(version: Path) -> str:
    with pytest.raises(ModelVersionError) as caught:
        verify(version)
    return f"{caught.value.message} {caught.value.hint}"


def rewritten(version: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((version / "manifest.json").read_text())
    change(manifest)
    (version / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["model.safetensors", "transform/spec.json", "manifest.json"])
def test_a_link_is_refused_also_when_it_leads_to_the_same_bytes(
    version: Path, tmp_path: Path, name: str
) -> None:
    (version / name).rename(tmp_path / "elsewhere")
    (version / name).symlink_to(tmp_path / "elsewhere")
    assert f"{version / name}: a link" in told(version)
    if name != "manifest.json":
        (version / name).unlink()
        os.link(tmp_path / "elsewhere", version / name)
        assert f"{version / name}: a file with a second name" in told(version)


def test_neither_a_folder_behind_a_link_nor_a_pipe_is_read(version: Path, tmp_path: Path) -> None:
    (version / "transform").rename(tmp_path / "moved")
    (version / "transform").symlink_to(tmp_path / "moved")
    assert "transform: a link" in told(version)
    (version / "transform").unlink()
    (tmp_path / "moved").rename(version / "transform")
    os.mkfifo(version / "transform" / "pipe")
    assert "pipe: no file" in told(version)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/hostname", "a/../b", "a//b", "./a", "", "a\0b"]
)
def test_a_name_that_leads_elsewhere_is_refused(version: Path, name: str) -> None:
    rewritten(version, lambda manifest: manifest["files"].update({name: "0" * 64}))
    assert "is not the name of a file" in told(version)


def test_a_manifest_without_end_is_refused(version: Path) -> None:
    rewritten(version, lambda manifest: manifest.update(created="x" * (17 << 20)))
    assert "This is not a manifest" in told(version)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_is_named_with_its_mend(
    version: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    real = Path.open

    def open_(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.name == "model.safetensors":
            raise OSError(error, os.strerror(error), str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", open_)
    said = told(version)
    assert f"{version / 'model.safetensors'}: cannot read ({os.strerror(error)})." in said
    assert ("chmod" in said) == (error == errno.EACCES)


def test_all_files_may_be_read_by_whom_the_umask_lets(version: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    found = {stat.S_IMODE(p.stat().st_mode) for p in version.rglob("*") if p.is_file()}
    assert found == {0o666 & ~mask}
