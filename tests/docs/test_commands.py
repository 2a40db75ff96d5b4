"""Every command that a page tells the reader to run exists, with its options."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from hemix.cli.main import app
from tests.infra.tools import need

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
RUNBOOK = ROOT / "docs" / "operator" / "runbook.md"
_COMMAND = re.compile(r"(?:^|[\s$(`])((?:hemix|kubectl) [^`\n]*)")
_ENDS = re.compile(r"\s+(?:[|>&;#]|2>|\\$).*|\)$")


def commands(text: str, program: str) -> list[str]:
    """Commands in code: of blocks, with their continued lines, and within sentences."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    code = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    code += re.findall(r"`([^`\n]+)`", rest)
    found = []
    for line in code:
        line = re.sub(r"^(\w+=\S+ +|[$] |export [^&]*&& )*", "", line.strip())
        if line.startswith(f"{program} "):
            found.append(_ENDS.sub("", line))
    return found


@functools.cache
def root() -> Any:
    """All commands, built once."""
    return typer.main.get_command(app)


def wrong(command: str) -> str:
    """Why the command line's own parser refuses it; what is left out (``...``) is not missed."""
    words = [w for w in shlex.split(command)[1:] if w not in ("...", "…")]
    at = root()
    while hasattr(at, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name.isupper():
            return ""  # it stands for any
        if name not in at.commands:
            return f"there is no command {name}"
        at = at.commands[name]
    if hasattr(at, "commands") or not words:
        return ""  # of a group, or a command that a sentence names
    try:
        at.make_context("hemix", words)
    except Exception as error:  # typer brings a click of its own
        kind = type(error).__name__
        left_out = kind in ("MissingParameter", "BadOptionUsage", "Exit") or "|" in command
        return "" if left_out else f"{kind}: {error}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_exist(page: Path) -> None:
    told = {c: why for c in commands(page.read_text(), "hemix") if (why := wrong(c))}
    assert not told


def test_a_command_that_is_none_is_found() -> None:
    text = "Run `hemix depoly --rollback`, or\n```\nX=1 hemix deploy --rolback --registry r # now\n```\n"
    first, second = sorted(commands(text, "hemix"))
    assert "--rolback" in wrong(first)
    assert "no command depoly" in wrong(second)


def test_the_runbooks_kubectl_commands_are_kubectls() -> None:
    """Parsed by kubectl itself: what is right gets as far as asking the API server."""
    need("kubectl")
    found = commands(RUNBOOK.read_text(), "kubectl")
    assert len(found) > 5
    for command in {*found, "kubectl get pods --field-selektor a=b"}:
        words = [w for w in shlex.split(command) if w != "..."]
        asked = subprocess.run(
            [*words, "--server=http://127.0.0.1:1", "--request-timeout=1s"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        reached = "refused" in asked.stderr
        assert reached != ("selektor" in command), (command, asked.stderr)
