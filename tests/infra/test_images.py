"""Containerfiles, what images install, and that it is enough for their steps."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import grimp
import pytest
from packaging.utils import canonicalize_name

from hemix.components.steps import BY_NAME, IMAGES, Image
from hemix.infra.images import build, requirements, verify

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "images"
WITH_TORCH = {"triton"}  # torch for CUDA depends on it; without it the kernels are not taken
# Names in a module that a step imports, on a path which that step never takes.
NEVER_REACHED = {
    "plan": {
        "torch",
        "safetensors",
        "model_signing",
    },  # reads the registry's state, loads no version
    "report": {
        "torch",
        "safetensors",
        "scipy",
        "sklearn",
        "model_signing",
    },  # wants names of columns, computes no metric
}


@pytest.mark.parametrize("image", IMAGES)
def test_containerfile_is_hardened(image: Image) -> None:
    text = (FOLDER / f"{image}.Containerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not re.search(r"^#\s*syntax=", text, re.MULTILINE)
    assert [line.split()[0] for line in lines].count("FROM") == 2
    assert lines[0].startswith("ARG BASE=")
    last = text.rpartition("FROM ")[2]
    assert "USER 65532:65532" in last
    assert not re.search(r"\bpip\b|apt-get|curl", last)
    assert "org.opencontainers.image.version" in last
    assert 'ENTRYPOINT ["hemix"]' in last
    assert ":latest" not in text
    assert not re.search(r"https?://|[a-z0-9-]+\.(com|io|org|dev)/", text)


@pytest.mark.parametrize("image", IMAGES)
def test_list_is_what_the_extra_needs(image: Image) -> None:
    listed = (FOLDER / "requirements" / f"{image}.txt").read_text()
    assert listed == requirements.of_image(image), "make requirements writes the lists anew"


def test_images_hold_no_development_tools() -> None:
    for image in IMAGES:
        names = (FOLDER / "requirements" / f"{image}.txt").read_text().split()
        assert not {n.split("==")[0] for n in names} & {"pytest", "ruff", "hypothesis", "moto"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    graph = grimp.build_graph(
        "hemix", include_external_packages=True, exclude_type_checking_imports=True
    )
    graph.remove_import(importer="hemix", imported="hemix.api")  # by name, when it is first used
    return graph


@pytest.mark.slow
@pytest.mark.parametrize("step", sorted(BY_NAME))
def test_image_has_what_its_step_imports(step: str, imports: grimp.ImportGraph) -> None:
    module = f"hemix.components.{step}.step"
    if module not in imports.modules:
        pytest.skip(f"{step} is a kfp component without a step of its own")
    lacking = _lacking(module, BY_NAME[step].image, imports) - WITH_TORCH
    lacking -= NEVER_REACHED.get(step, set())
    assert not lacking, f"extra {BY_NAME[step].image} of pyproject.toml lacks {sorted(lacking)}"


@pytest.mark.slow
def test_a_missing_package_is_found(imports: grimp.ImportGraph) -> None:
    assert "apache_beam" in _lacking("hemix.components.build_examples.step", "pipeline", imports)


def _lacking(module: str, image: Image, imports: grimp.ImportGraph) -> set[str]:
    """External packages that ``module`` imports, also indirectly, and the image's list lacks."""
    names = (FOLDER / "requirements" / f"{image}.txt").read_text().split()
    have = {name.split("==")[0] for name in names}
    owners = importlib.metadata.packages_distributions()
    lacking = set()
    for name in imports.find_upstream_modules(module):
        top = name.split(".")[0]
        if not imports.is_module_squashed(name) or top in sys.stdlib_module_names:
            continue
        if not {canonicalize_name(owner) for owner in owners.get(top, [top])} & have:
            lacking.add(top)
    return lacking


def test_pip_settings_reach_the_build_and_not_the_image(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    (tmp_path / "index" / "simple").mkdir(parents=True)
    wheels.mkdir()
    settings = {
        "index-url": "https://user:word@index.example/simple",
        "extra-index-url": f"file://{tmp_path}/index/simple",
        "find-links": str(wheels),
    }
    assert set(build.local_paths(settings)) == {wheels, tmp_path / "index"}
    assert "index-url = https://user:word@index.example/simple\n" in build.pip_conf(settings)
    words = build.command(
        "train",
        engine="podman",
        secret=tmp_path / "pip.conf",
        settings=settings,
        arguments=["BASE=my/base:1", "TORCH=cuda"],
        revision="abc",
        pull="never",
    )
    assert "index.example" not in " ".join(words)
    assert f"--volume={wheels}:{wheels}:ro" in words
    assert words[words.index("BASE=my/base:1") - 1] == "--build-arg"
    assert "--pull=never" in words


def test_every_image_must_import_its_steps() -> None:
    assert "hemix.components.train.step" in verify.modules("train")
    assert "hemix.components.stop.step" in verify.modules("pipeline")
    assert not [m for image in IMAGES for m in verify.modules(image) if "days" in m]


def test_context_holds_what_is_packaged() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert {"pyproject.toml", "README.md", "LICENSE", "infra/images/requirements"} <= kept
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "benchmarks",
        "infra",
        "tests",
    }
    assert packages <= kept
