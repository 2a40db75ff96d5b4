"""Every page on how to add something, followed to the letter in a copy of the tree: the page itself is the test.

Fenced blocks are steps. ``title="PATH"`` names the file that a block is or, as ``diff``, changes;
``bash`` blocks are run. A block whose page is wrong fails here: a file that is there already, lines
that are not, a command that ends with an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("add-*.md"))
FENCE = re.compile(r'^ *```(\w+)(?: title="([^"]+)")?\n(.*?)^ *```$', re.MULTILINE | re.DOTALL)
LEFT_OUT = {"runs", "build", "dist", "benchmarks", "node_modules"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, the file it is about, its text."""

    kind: str
    file: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order, without the indentation of lists around them."""
    found = []
    for match in FENCE.finditer(page):
        indent = re.match(r" *", match.group(0))
        assert indent is not None
        text = re.sub(f"^{indent.group(0)}", "", match.group(3), flags=re.MULTILINE)
        found.append(Block(kind=match.group(1), file=match.group(2) or "", text=text))
    return found


def changed(text: str, diff: str) -> str:
    """``text`` after the changes of a diff; ``...`` stands between two places of the file."""
    for hunk in re.split(r"^\.\.\.\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[:1] in (" ", "-"))
        after = "".join(f"{line[1:]}\n" for line in lines if line[:1] in (" ", "+"))
        assert text.count(before) == 1, f"stands {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    return text


def follow(block: Block, tree: Path) -> None:
    path = tree / block.file
    if block.kind == "diff":
        path.write_text(changed(path.read_text(), block.text))
    elif block.file:
        assert not path.exists(), f"{block.file} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    elif block.kind == "bash":
        run(block.text, tree)


def run(commands: str, tree: Path) -> None:
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:cacheprovider -q",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, compiled modules with it; what no page changes or runs is left out."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        top = Path(folder) == ROOT
        return {
            name
            for name in names
            # NAME.pyc.NUMBER is being written by another worker and will soon be gone.
            if ".pyc." in name or (top and (name.startswith(".") or name in LEFT_OUT))
        }

    copy = tmp_path / "tree"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    return copy


def test_there_is_a_page_for_each_kind() -> None:
    names = {page.stem.removeprefix("add-a-").removeprefix("add-an-") for page in PAGES}
    assert names >= {"ranker", "step", "check", "derived-feature", "runner", "online-store"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_works_as_written(page: Path, tree: Path) -> None:
    text = page.read_text()
    steps = blocks(text)
    assert len(text.splitlines()) < 60
    assert any(step.kind == "bash" for step in steps)
    assert any(step.file for step in steps)
    for step in steps:
        follow(step, tree)
