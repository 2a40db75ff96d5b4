"""Programs that tests of infra/ need; a test skips, with the reason, where one is absent."""

from __future__ import annotations

import shutil

import pytest


def need(*programs: str) -> None:
    """Skip unless every program is on PATH."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on PATH (.ci/run installs them)")
