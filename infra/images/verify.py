"""Run each image hardened, and measure it.

    .venv/bin/python -m hemix.infra.images.verify [--run DIR] [IMAGE ...]

Every container is read-only, without capabilities, privileges, network or a name, as user 65532,
with nothing to write to but a /tmp in memory. It must answer ``--help`` and import every step it is
for and every library of its extra; the serve image also loads the champion of ``--run`` (an output folder of ``hemix run``) and
answers its probes and a ranking request. ``make images-check`` (``python -m benchmarks.images``)
keeps what it finds in benchmarks/results/images-DATE.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from hemix.components.steps import IMAGES, TABLE
from hemix.infra.images.build import tag

ROOT = Path(__file__).resolve().parents[2]
USER = "65532:65532"
HARDENED = (
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--network=none",
    f"--user={USER}",
    "--tmpfs=/tmp:rw,nosuid,nodev,size=1g,mode=1777",
    "--pull=never",
)
_INSIDE = """
import importlib, importlib.metadata, json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
try:
    open("/opt/written", "w")
    written = True
except OSError:
    written = False
for name in %(modules)r:
    importlib.import_module(name)
owned = importlib.metadata.packages_distributions()
libraries = [m for m, owners in owned.items() if set(%(packages)r) & set(owners) and m[0] != "_"]
for name in libraries:
    importlib.import_module(name)
print(json.dumps({
    "uid": os.getuid(), "capabilities": int(status["CapEff"], 16),
    "no_new_privileges": status["NoNewPrivs"].strip() == "1", "root_written": written,
    "interfaces": sorted(os.listdir("/sys/class/net")), "steps_imported": len([m for m in %(modules)r if m.startswith("hemix.components.")]),
    "libraries_imported": len(libraries),
}))
"""


class Refused(Exception):
    """An image is not what it should be."""


def run(engine: str, image: str, arguments: Sequence[str], *options: str, limit: int = 600) -> str:
    """Standard output of a hardened container.

    Raises:
        Refused: it ended with another exit code than 0.
    """
    command = [engine, "run", "--rm", *HARDENED, *options, tag(image), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    if done.returncode:
        raise Refused(f"{image}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def modules(image: str) -> list[str]:
    """What an image must be able to import: the steps it is for, and how KFP starts them."""
    found = [f"hemix.components.{step.name}.step" for step in TABLE if step.image == image]
    there = [name for name in found if (ROOT / (name.replace(".", "/") + ".py")).is_file()]
    return ["kfp.dsl.executor_main", "hemix", *there]


def packages(image: str) -> list[str]:
    """The packages that the image's extra names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text).name for text in project["optional-dependencies"][image]]


def inside(engine: str, image: str) -> dict[str, Any]:
    """Who the container is, what it may do, and whether its steps import."""
    help_text = run(engine, image, ["--help"])
    if "Usage: hemix" not in help_text:
        raise Refused(f"{image}: --help says {help_text[:200]!r}")
    program = _INSIDE % {"modules": modules(image), "packages": packages(image)}
    found: dict[str, Any] = json.loads(
        run(engine, image, ["-c", program], "--entrypoint=python").splitlines()[-1]
    )
    wanted = {
        "uid": 65532,
        "capabilities": 0,
        "no_new_privileges": True,
        "root_written": False,
        "interfaces": ["lo"],
    }
    wrong = {key: found[key] for key, value in wanted.items() if found[key] != value}
    if wrong:
        raise Refused(f"{image}: {wrong}")
    return found


def size_mb(engine: str, image: str) -> dict[str, float]:
    """Megabytes of the whole image and of hemix's own layer."""
    command = [engine, "image", "inspect", tag(image), "--format", "{{.Size}}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    own = "import os;print(sum(os.path.getsize(os.path.join(d,f)) for d,_,n in os.walk('/opt/code') for f in n))"
    return {
        "image_mb": round(int(told) / 1e6, 1),
        "code_mb": round(int(run(engine, image, ["-c", own], "--entrypoint=python")) / 1e6, 2),
    }


def serving(engine: str, folder: Path, limit: int = 600) -> dict[str, Any]:
    """Serve the champion of a run's folder inside the image and ask it, over its own loopback.

    The registry is mounted read-only. The feature store is a copy that the container may write:
    sqlite keeps its log beside the database, and Feast opens it for writing even to read.

    Raises:
        Refused: it does not get ready, or does not rank with features.
    """
    name = f"hemix-verify-{uuid.uuid4().hex[:8]}"
    arguments = [
        *("serve", "--models", "/run/hemix/registry", "--features", "/run/hemix/feature_store"),
        *("--exposures", "/tmp/exposures", "--port", "8080", "--grpc-port", "8081"),
    ]
    with tempfile.TemporaryDirectory(prefix="hemix-verify-") as temporary:
        store = Path(temporary) / "feature_store"
        shutil.copytree(folder / "feature_store", store)
        for path in (Path(temporary), store, *store.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        mounts = (
            f"--volume={(folder / 'registry').resolve()}:/run/hemix/registry:ro",
            f"--volume={store}:/run/hemix/feature_store",
        )
        command = [engine, "run", "--rm", "--detach", f"--name={name}", *HARDENED, *mounts]
        start = time.monotonic()
        subprocess.run([*command, tag("serve"), *arguments], check=True, stdout=subprocess.DEVNULL)
        try:
            _until_ready(engine, name, limit)
            ready_s = time.monotonic() - start
            first = _ranked(engine, name)
        finally:
            stop = [engine, "stop", "--time=15", name]
            subprocess.run(stop, check=False, stdout=subprocess.DEVNULL)
    return {"ready_s": round(ready_s, 1), "flags": first["flags"], "tasks": sorted(first["scores"])}


def _until_ready(engine: str, name: str, limit: int) -> None:
    end = time.monotonic() + limit
    while (status := _ask(engine, name, "/v2/health/ready"))[0] != 200:
        if time.monotonic() > end:
            logs = [engine, "logs", name]
            told = subprocess.run(logs, capture_output=True, text=True, check=False).stderr
            raise Refused(f"serve: not ready after {limit} s ({status}): {told[-2000:]}")
        time.sleep(2)


def _ranked(engine: str, name: str) -> dict[str, Any]:
    body = {"instances": [{"user_id": 1, "item_ids": [1, 2, 3]}]}
    # The first requests may miss the feature store's deadline while caches are cold.
    for _ in range(20):
        code, answer = _ask(engine, name, "/v1/models/ranker:predict", body)
        if code != 200 or len(answer["predictions"][0]["ranked_item_ids"]) != 3:
            raise Refused(f"serve: a ranking request got {code}: {answer}")
        first: dict[str, Any] = answer["predictions"][0]
        if "features_unavailable" not in first["flags"]:
            return first
    raise Refused("serve: the feature store in its folder never answered")


def _ask(engine: str, name: str, path: str, body: Any = None) -> tuple[int, Any]:
    """An HTTP request from within the container, which has no network but its own loopback."""
    program = (
        "import json,sys,urllib.request,urllib.error\n"
        f"r=urllib.request.Request('http://127.0.0.1:8080{path}',"
        f"{json.dumps(body).encode() if body else None!r},{{'Content-Type':'application/json'}})\n"
        "try:\n a=urllib.request.urlopen(r,timeout=10);print(a.status);print(a.read().decode())\n"
        "except urllib.error.HTTPError as e: print(e.code);print(json.dumps(e.read().decode()))\n"
        "except OSError as e: print(0);print(json.dumps(str(e)))\n"
    )
    command = [engine, "exec", name, "python", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < 2:
        return 0, done.stderr.strip()[-500:]
    try:
        return int(lines[0]), json.loads("\n".join(lines[1:]))
    except ValueError:
        return int(lines[0]), lines[1:]


def verify(argv: Sequence[str] | None = None) -> dict[str, Any] | None:
    """The figures of the images that ``argv`` names; None when one is refused, which is said."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", nargs="*", help=f"of {', '.join(IMAGES)}; default: all")
    parser.add_argument("--engine", default=os.environ.get("HEMIX_ENGINE", "podman"))
    parser.add_argument("--run", type=Path, help="output folder of hemix run, to be served")
    options = parser.parse_args(argv)
    figures: dict[str, Any] = {"engine": _version(options.engine), "options": list(HARDENED)}
    refused = 0
    for image in options.image or IMAGES:
        try:
            figures[image] = {**size_mb(options.engine, image), **inside(options.engine, image)}
            if image == "serve" and options.run is not None:
                figures[image]["serving"] = serving(options.engine, options.run)
        except (Refused, subprocess.SubprocessError) as error:
            print(f"images: {error}", file=sys.stderr)
            refused += 1
            continue
        print(f"images: {image}: {figures[image]}", flush=True)
    return None if refused else figures


def _version(engine: str) -> str:
    command = [engine, "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(verify() is None)
