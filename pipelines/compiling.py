"""A pipeline as KFP IR YAML, ready for a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemix.errors import DefinitionError
from hemix.files import atomic_file

PIPELINES = ("training",)


def pipeline_named(name: str) -> Callable[..., Any]:
    """The pipeline object called ``name``.

    Raises:
        DefinitionError: there is none; the message lists those there are.
    """
    if name not in PIPELINES:
        raise DefinitionError(
            f"No pipeline is called {name!r}.", hint=f"There are: {', '.join(PIPELINES)}."
        )
    from pipelines.training import training

    return training


def compiled(name: str) -> str:
    """The IR YAML of pipeline ``name``: the same text for the same code."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline_named(name), package_path=str(path))
        return path.read_text()


def compile_to(name: str, path: Path) -> None:
    """Write the IR YAML of pipeline ``name`` to ``path``, whole or not at all."""
    text = compiled(name)
    with atomic_file(path) as temporary:
        temporary.write_text(text)
