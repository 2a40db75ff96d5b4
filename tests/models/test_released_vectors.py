"""Every file of released vectors: HEMIX_RELEASED_VECTORS names other folders than the default."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.models.released_vectors import Case, check, entries, find, read

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "reference"


def folders() -> list[Path]:
    """Folders with an index."""
    if named := os.environ.get("HEMIX_RELEASED_VECTORS"):
        return [Path(folder) for folder in named.split(os.pathsep)]
    return sorted(index.parent for index in DEFAULT.glob("*/index.json"))


FILES = [(folder, entry) for folder in folders() for entry in entries(folder)]


@pytest.mark.skipif(not FILES, reason="no folder of released vectors is on this machine")
@pytest.mark.parametrize(
    ("folder", "entry"), FILES, ids=[f"{f.name}/{e['file']}" for f, e in FILES]
)
def test_equals_the_released_code(folder: Path, entry: dict[str, object]) -> None:
    case = read(folder, entry)
    if find(case.module) is None:
        pytest.skip(f"{case.module} is not built here")
    assert check(case).failures == []
    if not case.compared:
        pytest.skip(f"{case.module}: {next(iter(case.left_out.values()))}")


def test_a_difference_and_a_forgotten_key_are_told() -> None:
    case = Case(
        folder=Path(),
        file="x.npz",
        module="x",
        hyper={},
        rtol=0.1,
        atol=0.0,
        to_largest=False,
        arrays={"a": np.array([1.0, 2.0]), "b": np.zeros(1), "c": np.zeros(1)},
    )
    case.read("b")
    case.equal("a", case.read("a") * 1.05)
    assert case.failures == ["c: not looked at"]
    case.equal("a", case.read("a") * 1.2)
    assert case.failures == ["a: 2 times the tolerance", "c: not looked at"]
