"""Every command of hemix that a page tells the reader to run exists, with its options."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from hemix.cli.main import app
from tests.docs.pages import PAGES, ROOT, Command, commands, filled, unknown

LEFT_OUT = ("...", "…")


@functools.cache
def root() -> Any:
    """All commands, built once."""
    return typer.main.get_command(app)


def wrong(command: Command) -> str:
    """Why the command line's own parser refuses it, without running it.

    What is left out (``...``) is not missed, nor what a sentence has no need to say.
    """
    words = [w for w in shlex.split(command.text)[1:] if w not in LEFT_OUT]
    if strange := [name for word in words for name in unknown(word)]:
        return f"nobody knows what to put for {', '.join(strange)} (tests/docs/pages.py)"
    words = [filled(word) for word in words]
    at = root()
    while hasattr(at, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in at.commands:
            return f"there is no command {name}"
        at = at.commands[name]
    part = not command.whole or any(mark in command.text for mark in LEFT_OUT)
    if part and (hasattr(at, "commands") or not words):
        return ""  # a group, or a command, that a sentence names
    try:
        at.make_context("hemix", words)
    except Exception as error:  # typer brings a click of its own
        kind = type(error).__name__
        fine = ("Exit", "MissingParameter", "BadOptionUsage") if part else ("Exit",)
        return "" if kind in fine else f"{kind}: {error}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_exist(page: Path) -> None:
    told = {c.text: why for c in commands(page.read_text(), "hemix") if (why := wrong(c))}
    assert not told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Run `hemix depoly --rollback`.", "no command depoly"),
        ("```\nX=1 hemix deploy --rolback --registry r # now\n```", "--rolback"),
        ("```\nhemix models show\n```", "Missing"),
        ("`hemix models list | show | chalenge`", "no command chalenge"),
        ("`hemix rank --user 7 --items 1 --protocol v2|v9`", "v9"),
        ("`hemix models show MODEL`", "what to put for MODEL"),
        ("`hemix models challenge VERSION --share VERSION`", "BadParameter"),
    ],
)
def test_a_command_that_is_none_is_found(text: str, why: str) -> None:
    assert any(why in wrong(command) for command in commands(text, "hemix"))


def test_what_a_sentence_leaves_out_is_not_missed() -> None:
    text = (
        "`hemix models show`, `hemix deploy ... --canary next`, `hemix models`, `hemix run --help`"
    )
    assert [wrong(command) for command in commands(text, "hemix")] == [""] * 4
