"""Dated result files: figures with the hardware, versions, commit and command that made them."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hemix.files import write_json

FOLDER = Path(__file__).resolve().parents[1] / "results"
PACKAGES = (
    "apache-beam", "feast", "kfp", "kserve", "numpy", "pandas", "polars", "pyarrow",
    "scikit-learn", "scipy", "tensorflow", "tensorflow-transform", "torch",
)  # fmt: skip


def hardware() -> dict[str, object]:
    """Cores this process may use, memory in GB and the CPU's model; no names of machines."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": len(os.sched_getaffinity(0)), "memory_gb": round(memory, 1), "cpu": model}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a figure may depend on, where installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The checked-out commit, with ``+changes`` when files differ from it; ``unknown`` outside git."""
    command = ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def portable(command: Sequence[str]) -> str:
    """The command line without the machine's folders: of an absolute path its name stays.

    Example:
        >>> portable(["python", "-m", "benchmarks.parity", "--folder", "/data/parity"])
        'python -m benchmarks.parity --folder parity'
        >>> portable(["python", "--run=/data/demo"])
        'python --run=demo'
    """
    return shlex.join(re.sub(r"(^|=)/.*?([^/]*)/*$", r"\1\2", word) for word in command)


def write_result(name: str, figures: Mapping[str, Any], command: Sequence[str] | str) -> Path:
    """Write ``results/<name>-<date>.json``, replacing that of the same day; its path."""
    now = datetime.now(UTC)
    path = FOLDER / f"{name}-{now:%Y-%m-%d}.json"
    write_json(
        path,
        {
            "name": name,
            "date": now.isoformat(timespec="seconds"),
            "command": command if isinstance(command, str) else portable(command),
            "commit": commit(),
            "hardware": hardware(),
            "versions": versions(),
            "figures": dict(figures),
        },
    )
    return path
