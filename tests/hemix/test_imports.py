"""Own modules are imported at the top, unless that would load a library that is not needed yet.

A light module so stays light by construction: the one module that wraps a heavy library imports it
inside its functions, and nobody else needs to hold back.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("features", "models", "serving", "components", "pipelines", "infra")
ALWAYS = {"numpy", "pyarrow", "pydantic", "yaml", "rich", "typer"}
"""What an installation without extras has. The commands hold back these too: ``--help`` is quick."""
DOORS = ("hemix.cli.", "hemix.api")


def sources() -> dict[str, Path]:
    """Every module of ours by its name."""
    found = {}
    for folder in (*FOLDERS, "hemix", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            name = dotted.removesuffix(".__init__")
            if folder == "hemix" and name.count(".") and name.split(".")[1] in FOLDERS:
                continue  # the links
            found[f"hemix.{name}" if folder in FOLDERS else name] = path
    return found


SOURCES = sources()


def imports(node: ast.AST, inside: bool = False) -> Iterator[tuple[int, str, bool]]:
    """Line, module and whether it is inside a function; none that only a type checker makes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                full = f"{child.module}.{alias.name}"
                yield child.lineno, full if full in SOURCES else child.module, inside
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(child, inside or function)


@functools.cache
def found() -> tuple[list[tuple[str, int, str]], dict[str, set[str]]]:
    """``(module, line, target)`` of each import inside a function; module -> targets at its top."""
    lazy: list[tuple[str, int, str]] = []
    at_top: dict[str, set[str]] = defaultdict(set)
    for module, source in SOURCES.items():
        for line, target, inside in imports(ast.parse(source.read_text())):
            if inside:
                lazy.append((module, line, target))
            else:
                at_top[module].add(target)
    return lazy, at_top


def libraries(module: str) -> set[str]:
    """Everything outside the standard library that importing ``module`` loads."""
    outside: set[str] = set()
    at_top = found()[1]
    seen: set[str] = set()
    left = [module]
    while left:
        here = left.pop()
        if here in seen:
            continue
        seen.add(here)
        top = here.partition(".")[0]
        if here not in SOURCES:
            outside |= {top} - set(sys.stdlib_module_names)
            continue
        left += at_top.get(here, ())
        parents = here.split(".")[:-1]
        left += [".".join(parents[: n + 1]) for n in range(len(parents))]
    return outside - {"hemix", "benchmarks"}


@pytest.mark.slow
def test_nothing_of_ours_is_imported_late_without_need() -> None:
    late = []
    lazy = found()[0]
    for module, line, target in lazy:
        # The source of a component is cut out by kfp and must import all that it needs.
        component = module.endswith(".component")
        if component or target not in SOURCES or (module, target) == ("hemix", "hemix.api"):
            continue
        light = set() if module.startswith(DOORS) else ALWAYS
        if not libraries(target) - libraries(module) - light:
            late.append(f"{SOURCES[module].relative_to(ROOT)}:{line}: {target}")
    assert len(lazy) > 200
    assert not late
