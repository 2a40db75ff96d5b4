"""A pipeline, or a single step, as KFP IR YAML, ready for a cluster."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemix.errors import DefinitionError
from hemix.files import atomic_file
from pipelines.cluster import ClusterSettings

if TYPE_CHECKING:
    from pipelines.building import Pipeline

PIPELINES = ("training", "retraining", "backfill")


def pipeline_named(name: str) -> Pipeline:
    """The pipeline called ``name``.

    Raises:
        DefinitionError: there is none; the message lists those there are.
    """
    if name not in PIPELINES:
        raise DefinitionError(
            f"No pipeline is called {name!r}.", hint=f"There are: {', '.join(PIPELINES)}."
        )
    found: Pipeline = getattr(importlib.import_module(f"pipelines.{name}"), name)
    return found


def compiled(name: str, settings: ClusterSettings | None = None) -> str:
    """The IR YAML of pipeline ``name``: the same text for the same code and settings.

    Args:
        name: one of :data:`PIPELINES`.
        settings: of the cluster; the shipped ones when None.
    """
    return _text(pipeline_named(name).build(settings or ClusterSettings.load()))


def compile_to(name: str, path: Path, settings: ClusterSettings | None = None) -> None:
    """Write the IR YAML of pipeline ``name`` to ``path``, whole or not at all."""
    write(compiled(name, settings), path)


def write(text: str, path: Path) -> None:
    """Write IR YAML, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text)


def _text(component: Any) -> str:
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(component, package_path=str(path))
        return path.read_text()
