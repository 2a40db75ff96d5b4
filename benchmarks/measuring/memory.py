"""Memory of a process that was started to be measured."""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """The most memory, in MB of 2^20 bytes, that this program has held at once since it started.

    Linux's ``VmHWM``. ``getrusage``'s ``ru_maxrss`` begins at the peak of the process that started
    this one, and so hides what is smaller.
    """
    return _status_mb("VmHWM")


def resident_mb() -> float:
    """The memory, in MB of 2^20 bytes, that this program holds now."""
    return _status_mb("VmRSS")


def _status_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) / 1024
