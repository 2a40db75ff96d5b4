"""A pipeline, or a single step, as KFP IR YAML, ready for a cluster."""

from __future__ import annotations

import copy
import importlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemix.components.steps import BY_NAME
from hemix.errors import DefinitionError
from hemix.files import atomic_file
from hemix.pipelines.compiler.cluster_settings import ClusterSettings

if TYPE_CHECKING:
    from hemix.pipelines.definitions.pipeline import Pipeline

PIPELINES = ("training", "retraining", "backfill", "experiment", "monitoring", "cleaning")

COMPONENT = "component:"
"""Before a step's name: the step alone, not a pipeline."""


def pipeline_named(name: str) -> Pipeline:
    """The pipeline called ``name``.

    Raises:
        DefinitionError: there is none; the message lists those there are.
    """
    if name not in PIPELINES:
        raise DefinitionError(
            f"No pipeline is called {name!r}.", hint=f"There are: {', '.join(PIPELINES)}."
        )
    found: Pipeline = getattr(importlib.import_module(f"hemix.pipelines.definitions.{name}"), name)
    return found


def compiled(name: str, settings: ClusterSettings | None = None) -> str:
    """The IR YAML of pipeline ``name``: the same text for the same code and settings.

    Args:
        name: one of :data:`PIPELINES`, or ``component:STEP``.
        settings: of the cluster; the shipped ones when None.
    """
    if name.startswith(COMPONENT):
        return compiled_component(name.removeprefix(COMPONENT), settings)
    chosen = settings or ClusterSettings.load()
    return _with_caching_told(_text(pipeline_named(name).build(chosen)), chosen)


def component_named(step: str) -> Any:
    """The kfp component of a step.

    Raises:
        DefinitionError: there is none; the message lists those there are.
    """
    if step not in BY_NAME:
        raise DefinitionError(
            f"No step is called {step!r}.", hint=f"There are: {', '.join(BY_NAME)}."
        )
    return getattr(importlib.import_module(BY_NAME[step].component_module), step)


def compiled_component(step: str, settings: ClusterSettings | None = None) -> str:
    """The IR YAML of one step, for other people's pipelines: ``kfp.components.load_component``.

    It names the image; resources, retries and secrets belong to the pipeline that uses it.
    """
    component = copy.deepcopy(component_named(step))
    container = component.component_spec.implementation.container
    container.image = (settings or ClusterSettings.load()).image(step)
    return _text(component)


def compile_to(name: str, path: Path, settings: ClusterSettings | None = None) -> None:
    """Write the IR YAML of pipeline ``name`` to ``path``, whole or not at all."""
    write(compiled(name, settings), path)


def write(text: str, path: Path) -> None:
    """Write IR YAML, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text)


def _with_caching_told(text: str, settings: ClusterSettings) -> str:
    """Add, as comments, why each step may or may not be taken from an earlier run."""
    labels = re.findall(r"^    exec-([a-z-]+?)(?:-\d+)?:$", text, re.MULTILINE)
    told = [
        f"#    {step}: {'on' if caching.enabled else 'off'}, {caching.reason}\n"
        for step in dict.fromkeys(label.replace("-", "_") for label in labels)
        if (caching := settings.steps[step].caching)
    ]
    head, body = text.split("components:\n", 1)
    return f"{head}# Caching:\n{''.join(told)}components:\n{body}"


def _text(component: Any) -> str:
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(component, package_path=str(path))
        return path.read_text()
