"""``hemix compile --check``: every rule over one compiled pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from hemix.errors import DefinitionError
from hemix.pipelines.compiler.checking.components import component_problems, use_problems
from hemix.pipelines.compiler.checking.dag import Dag
from hemix.pipelines.compiler.checking.executors import (
    executor_problems,
    pod_problems,
    retry_problems,
)
from hemix.pipelines.compiler.checking.reading import read

_TOLD = 10


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How much was looked at."""

    tasks: int
    components: int
    executors: int


def check(text: str, where: str = "pipeline") -> Checked:
    """Check compiled IR YAML: a pipeline, or a component on its own.

    The spec must fit its protobuf; every component, executor, producer, output, input and condition
    it refers to must exist, with the type that is expected; nothing required is missing, nothing
    is unused or waits for itself; every image is pinned; every pod has our settings.

    Args:
        text: what ``hemix compile`` writes.
        where: how errors call it.

    Raises:
        DefinitionError: lists what is wrong, each with the place it is at.
    """
    found = read(text, where)
    components = found.components
    problems = list(component_problems(found))
    tasks = 0
    for name, component in {"root": found.spec.root, **components}.items():
        if component.WhichOneof("implementation") == "dag":
            tasks += len(component.dag.tasks)
            problems += Dag(name, component, components).problems()
    problems += use_problems(found)
    problems += executor_problems(found)
    problems += pod_problems(found)
    problems += retry_problems(found)
    if problems:
        more = f" (and {len(problems) - _TOLD} more)" if len(problems) > _TOLD else ""
        raise DefinitionError(
            f"{where}: {'; '.join(problems[:_TOLD])}{more}.",
            hint="Mend the pipeline or the cluster settings, and compile again.",
        )
    return Checked(tasks=tasks, components=len(components), executors=len(found.executors))
