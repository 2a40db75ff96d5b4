"""Dated result files: figures beside hardware, versions, commit and command."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from pathlib import Path

from hemix.files import write_json

FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = ("apache-beam", "feast", "numpy", "pyarrow", "tensorflow", "torch")


def write_result(name: str, figures: Mapping[str, object], command: str) -> Path:
    """Write ``results/<date>-<name>.json``; a later run of the same day replaces it.

    Args:
        figures: what was measured; the unit stands in each key.
        command: what to type to measure it again.
    """
    now = datetime.now(UTC)
    path = FOLDER / f"{now:%Y-%m-%d}-{name}.json"
    write_json(
        path,
        {
            "name": name,
            "date": now.isoformat(timespec="seconds"),
            "command": command,
            "figures": dict(figures),
            "commit": _commit(),
            "hardware": _hardware(),
            "versions": {"python": sys.version.split()[0], **_versions()},
        },
    )
    return path


def _hardware() -> dict[str, object]:
    model, memory = platform.processor() or platform.machine(), 0
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    if meminfo.exists():
        memory = int(meminfo.read_text().split(maxsplit=2)[1]) // 1024
    return {"cpu": model, "cores": cpu_count(), "memory_mb": memory, "system": platform.system()}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The checked-out commit, with ``+changes`` when files differ from it; empty without git."""
    root = str(FOLDER.parent)
    try:
        done = subprocess.run(
            ["git", "-C", root, "describe", "--always", "--dirty=+changes", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
