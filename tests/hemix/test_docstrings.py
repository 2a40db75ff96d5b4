"""What a reader must be told: parameters of functions that have many, and every key of every file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hemix.infra.docs.configuration import reached, roots

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("hemix", "features", "models", "serving", "components", "pipelines", "infra")
MANY = 5
Function = ast.FunctionDef | ast.AsyncFunctionDef
Owner = Function | ast.ClassDef


def public(
    body: list[ast.stmt], owner: ast.ClassDef | None = None
) -> Iterator[tuple[Function, Owner]]:
    """Functions whose names are public, each with what holds its docstring."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, node)
        elif isinstance(node, Function):
            if node.name == "__init__" and owner is not None:
                yield node, owner
            elif not node.name.startswith("_"):
                yield node, node


def parameters(function: Function) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [a.arg for a in every if a.arg not in ("self", "cls", "ctx")]


def explained_elsewhere(function: Function, path: Path) -> bool:
    """Options of commands have help texts; a component's parameters are those of its step."""
    command = "cli" in path.parts and any(
        "command" in ast.unparse(d) for d in function.decorator_list
    )
    options = "cli" in path.parts and "typer.Option" in ast.unparse(function.args)
    return command or options or path.name == "component.py"


def described(owner: Owner) -> set[str]:
    """The names below ``Args:``."""
    (_, _, section) = (ast.get_docstring(owner) or "").partition("Args:\n")
    return set(re.findall(r"^    (\w+)(?: \([^)]*\))?: \S", section.partition("\n\n")[0], re.M))


@pytest.mark.parametrize("room", ROOMS)
def test_every_parameter_of_many_is_explained(room: str) -> None:
    silent = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        for function, owner in public(ast.parse(path.read_text()).body):
            names = parameters(function)
            if len(names) >= MANY and not explained_elsewhere(function, path):
                missing = [name for name in names if name not in described(owner)]
                if missing:
                    silent[f"{path.relative_to(ROOT)}:{function.lineno} {owner.name}"] = missing
    assert not silent


def test_every_key_says_what_it_means() -> None:
    silent = {
        f"{kind.__name__}.{name}"
        for root in roots().values()
        for kind in reached(root)
        for name, field in kind.model_fields.items()
        if not field.description
    }
    assert not silent
