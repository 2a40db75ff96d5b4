from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from hemix.errors import ModelVersionError, RegistryError
from hemix.files import read_json, sha256_folder, write_json
from hemix.serving.registry.opening import require_registry
from hemix.serving.registry.registry import FolderRegistry
from tests.serving.live import ROOT, Workshop


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path / "registry")


def renamed(workshop: Workshop, folder: Path, version: str) -> Path:
    """A copy of v1 that calls itself ``version``."""
    shutil.copytree(workshop.model("v1"), folder)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", {**manifest, "version": version})
    return folder


def test_a_version_is_copied_whole_and_adding_it_again_changes_nothing(
    workshop: Workshop, registry: FolderRegistry
) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    registry.add(workshop.model("v2"), share=0.2)
    assert sha256_folder(registry.folder("v2")) == sha256_folder(workshop.model("v2"))
    before = registry.state_path.read_bytes()
    state = registry.add(workshop.model("v2"), share=0.9)
    assert registry.state_path.read_bytes() == before
    assert state.shares == {"v1": pytest.approx(0.8), "v2": 0.2}


def test_a_tampered_version_is_not_taken_in(
    workshop: Workshop, registry: FolderRegistry, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workshop.model("v1"), copy)
    with (copy / "model.safetensors").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x7f")
    with pytest.raises(ModelVersionError, match=r"model\.safetensors"):
        registry.add(copy, share=0.1)
    assert not registry.state_path.exists()


def test_one_name_never_means_two_models(
    workshop: Workshop, registry: FolderRegistry, tmp_path: Path
) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    other = tmp_path / "other"
    shutil.copytree(workshop.model("v2"), other)
    manifest = read_json(other / "manifest.json")
    write_json(other / "manifest.json", {**manifest, "version": "v1"})
    with pytest.raises(RegistryError, match=r"other content: model\.safetensors"):
        registry.add(other, share=0.1)


def test_a_name_that_leaves_the_folder_is_refused(
    workshop: Workshop, registry: FolderRegistry, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match="cannot be the name"):
        registry.add(renamed(workshop, tmp_path / "evil", "../evil"), share=0.1)


def test_a_move_without_a_registry_says_so(registry: FolderRegistry) -> None:
    with pytest.raises(RegistryError, match="not a registry"):
        registry.promote("v1")
    with pytest.raises(RegistryError, match="no deployed model version"):
        require_registry(registry.root)
    assert not registry.root.exists()


def test_an_add_killed_at_any_moment_leaves_nothing_visible(
    workshop: Workshop, registry: FolderRegistry
) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    before = registry.state()
    code = (
        "import sys, time, shutil\nfrom pathlib import Path\nfrom hemix.serving.registry.registry import FolderRegistry\n"
        "copy = shutil.copytree\n"
        "def slow(*a, **k):\n    copy(*a, **k); print('copied', flush=True); time.sleep(60)\n"
        "shutil.copytree = slow\n"
        "FolderRegistry(Path(sys.argv[1])).add(Path(sys.argv[2]), share=0.1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(registry.root), str(workshop.model("v2"))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "copied\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert registry.state() == before
    assert not (registry.root / "versions" / "v2").exists()
    registry.add(workshop.model("v2"), share=0.1)
    assert sorted(p.name for p in (registry.root / "versions").iterdir()) == ["v1", "v2"]


def _add(root: Path, model: Path) -> None:
    FolderRegistry(root).add(model, share=0.1)


def test_processes_that_add_at_the_same_time_lose_nothing(
    workshop: Workshop, registry: FolderRegistry, tmp_path: Path
) -> None:
    names = [f"c{n}" for n in range(4)]
    models = [renamed(workshop, tmp_path / name, name) for name in names]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_add, [registry.root] * 4, models))
    state = registry.state()
    assert sorted(state.versions) == names
    assert sorted(event.version for event in state.history if event.what == "add") == names
    assert sorted(state.versions.values()) == ["challenger", "champion", "retired", "retired"]


def test_readers_see_whole_states_only(workshop: Workshop, registry: FolderRegistry) -> None:
    registry.add(workshop.model("v1"), share=0.1)
    registry.add(workshop.model("v2"), share=0.1)
    code = (
        "import sys\nfrom pathlib import Path\nfrom hemix.serving.registry.registry import FolderRegistry\n"
        "r = FolderRegistry(Path(sys.argv[1]))\n"
        "for n in range(60): r.challenge('v2', share=n / 100)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(registry.root)], cwd=ROOT)
    seen = set()
    while process.poll() is None:
        seen.add(registry.state().shares["v2"])
        time.sleep(0.001)
    assert process.returncode == 0
    assert registry.state().shares["v2"] == 0.59
    assert seen <= {0.1, *(n / 100 for n in range(60))}
