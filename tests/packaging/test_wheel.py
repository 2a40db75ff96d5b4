"""The wheel, built and installed in an environment of its own, used from another folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving.live import Endpoint, Workshop, addresses, ended, wait_ready

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment that holds the wheel; ``folder`` is where a user works."""

    wheel: Path
    bin: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without what points to the repository."""
        return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(self, *command: str, code: int = 0) -> str:
        """Standard output and error of a command of the environment."""
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def started(self, *command: str, log: Path) -> Iterator[subprocess.Popen[str]]:
        """A command of the environment, told to stop when the block ends."""
        with log.open("w") as output:
            process = subprocess.Popen(
                [str(self.bin / command[0]), *command[1:]],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        with ended(process):
            yield process


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=lambda folder, names: {
            name
            for name in names
            if name.startswith(".") or name in ("runs", "build", "dist", "tests", "benchmarks")
        },
    )
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(base), str(source)], check=True)
    (wheel,) = base.glob("*.whl")
    environment = base / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    scheme = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    binaries = Path(sysconfig.get_path("scripts", vars=scheme))
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline"]
    subprocess.run([*install, "--python", str(binaries / "python"), str(wheel)], check=True)
    # What hemix needs is taken from the environment of the tests, less its own installation there:
    # the .pth files of a folder that a .pth file names are not read.
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    folder = base / "work"
    folder.mkdir()
    for name in ("models", "features", "serving", "components", "pipelines"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('the user own folder')\n")
    return Installed(wheel=wheel, bin=binaries, folder=folder)


def test_only_hemix_is_at_the_top(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"hemix"}
    for needed in (
        "hemix/py.typed",
        "hemix/features/definition.py",
        "hemix/models/rankers/hemix/model.py",
        "hemix/examples/kuairand/definition.yaml",
        "hemix/examples/kuairand/LICENSE",
        "hemix/pipelines/compiler/cluster.yaml",
        "hemix/components/pages/templates/style.css",
    ):
        assert needed in names
    assert any(name.startswith("hemix/examples/kuairand/data/") for name in names)


def test_a_users_own_folders_do_not_hide_ours(installed: Installed) -> None:
    code = (
        "import hemix, hemix.models.training.recipes, hemix.features.definition as d, hemix.serving;"
        "print(hemix.__file__, d.DatasetDefinition.load('kuairand').name)"
    )
    said = installed.run("python", "-c", code)
    assert str(installed.bin.parent) in said
    assert said.split()[-1] == "kuairand"


def test_commands_start(installed: Installed) -> None:
    assert "Usage" in installed.run("hemix", "--help")
    assert "--recipe" in installed.run("hemix", "run", "--help")
    assert "--models" in installed.run("hemix", "serve", "--help")
    said = installed.run("hemix", "compile", "training", "--output", "training.yaml")
    assert "training.yaml" in said
    assert "hemix.components.ingest" in (installed.folder / "training.yaml").read_text()


@pytest.mark.slow
def test_a_run_begins_with_the_shipped_log(installed: Installed, tmp_path: Path) -> None:
    """The default command until its first step is done; the whole of it is ``make demo``."""
    log = tmp_path / "run.log"
    with installed.started("hemix", "run", "--output", "runs/mine", log=log) as process:
        while "ingest done" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
    (summary,) = (installed.folder / "runs/mine/artifacts").glob("*/ingest*/**/summary.json")
    assert json.loads(summary.read_text())["rows"]["interactions"] > 200_000


@pytest.mark.slow
def test_a_version_is_served_and_ranks(
    installed: Installed, workshop: Workshop, deployed: Path, tmp_path: Path
) -> None:
    log = tmp_path / "serve.log"
    ports = ("--port", "0", "--grpc-port", "0")
    serve = ("hemix", "serve", "--models", str(deployed), *ports)
    (user, *_), items = workshop.known()
    with installed.started(*serve, log=log) as process:
        http, grpc = addresses(process, log)
        wait_ready(Endpoint(deployed, process, f"http://{http}", grpc, log))
        asked = ("--user", str(user), "--items", ",".join(map(str, items[:3])))
        said = installed.run("hemix", "rank", *asked, "--url", f"http://{http}")
    assert all(str(item) in said for item in items[:3])
    assert "click" in said
