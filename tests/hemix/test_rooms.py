"""The tree stays easy to find one's way in: few modules per folder, one import namespace."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("features", "models", "serving", "components", "pipelines", "infra")
MOST = 15


def modules(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("room", ["hemix", *ROOMS, "benchmarks"])
def test_no_folder_is_a_heap(room: str) -> None:
    folders = [ROOT / room, *(path for path in (ROOT / room).rglob("*") if path.is_dir())]
    heaps = {str(f.relative_to(ROOT)): len(modules(f)) for f in folders if len(modules(f)) > MOST}
    assert not heaps


@pytest.mark.slow
def test_every_room_is_imported_as_a_part_of_hemix() -> None:
    for room in ROOMS:
        assert (ROOT / "hemix" / room).resolve() == ROOT / room
    folders = ("hemix", *ROOMS, "benchmarks", "tests", "examples")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 400
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                assert name.partition(".")[0] not in ROOMS, f"{path}:{node.lineno}: hemix.{name}"
