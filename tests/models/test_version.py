"""Model version folders: written whole, read only when untouched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from hemix.errors import ModelVersionError
from models.recipes import recipe_of
from models.registry import build
from models.toy import toy_batch, toy_spec
from models.version import Manifest, load, verify, write


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
