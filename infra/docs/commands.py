"""The page of all ``hemix`` commands, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from hemix.cli.main import app

_MARKUP = re.compile(r"\[/?(?:bold|dim|italic|cyan|green|yellow|red)[^\]]*\]")


def page() -> str:
    """Markdown: each command with its text, arguments and options."""
    root = typer.main.get_command(app)
    parts = ["# Commands\n\nEvery command explains itself: `hemix COMMAND --help`.\n"]
    parts += [_section(path, command) for path, command in _walk(root, ("hemix",))]
    return "\n".join(parts)


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                yield from _walk(command.commands[name], (*path, name))
    else:
        yield path, command


def _section(path: tuple[str, ...], command: Any) -> str:
    lines = [f"## {' '.join(path)}\n", _plain(command.help or ""), ""]
    rows = [row for row in map(_row, command.params) if row]
    if rows:
        lines += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    text = getattr(parameter, "help", None) or ""
    if getattr(parameter, "hidden", False):
        return ""
    option = parameter.param_type_name == "option"
    if option:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
    else:
        name = (parameter.metavar or parameter.name or "").upper()
    if parameter.metavar and option:
        name = f"{name} {parameter.metavar}"
    default = parameter.default
    shown = "" if default in (None, "", False, ()) or callable(default) else f"`{default}`"
    if parameter.required:
        shown = "required"
    return f"| `{name}` | {shown} | {_cell(_plain(text))} |"


def _plain(text: str) -> str:
    """Help text without rich's markup and click's own marks; indented examples become code."""
    out: list[str] = []
    code = False
    for line in _MARKUP.sub("", text).replace("\b", "").splitlines():
        indented = line.startswith("  ") and line.strip() != ""
        if indented and not code:
            out.append("\n```")
        if not indented and code and line.strip():
            out.append("```\n")
            code = False
        code = code or indented
        if not (code and not line.strip()):
            out.append(line.strip() if indented else line)
    if code:
        out.append("```")
    return "\n".join(out)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
