"""Components: each is something, its executor exists, and something uses it."""

from __future__ import annotations

from collections.abc import Iterator

from hemix.pipelines.compiler.checking.reading import Compiled


def component_problems(found: Compiled) -> Iterator[str]:
    """Components without implementation or executor, and those that contain themselves."""
    for name, component in found.components.items():
        kind = component.WhichOneof("implementation")
        if kind is None:
            yield f"component {name} has neither tasks nor an executor"
        elif kind == "executor_label" and component.executor_label not in found.executors:
            yield f"component {name} refers to executor {component.executor_label!r}, not there"
    yield from _own_parents(found)


def use_problems(found: Compiled) -> Iterator[str]:
    """Components and executors that nothing refers to: leftovers of an edit by hand."""
    dags = [found.spec.root, *found.components.values()]
    used = {t.component_ref.name for dag in dags for t in dag.dag.tasks.values()}
    for name in sorted(set(found.components) - used):
        yield f"component {name} is used by no task"
    labels = {c.executor_label for c in found.components.values() if c.executor_label}
    for label in sorted(set(found.executors) - labels):
        yield f"executor {label} is used by no component"
    if found.spec.root.WhichOneof("implementation") != "dag" or not found.spec.root.dag.tasks:
        yield "the root has no tasks"


def _own_parents(found: Compiled) -> Iterator[str]:
    below = {
        name: {task.component_ref.name for task in component.dag.tasks.values()}
        for name, component in found.components.items()
    }
    for name in below:
        seen: set[str] = set()
        reach = set(below[name])
        while reach:
            seen |= reach
            reach = {deeper for n in reach for deeper in below.get(n, ())} - seen
        if name in seen:
            yield f"component {name} contains itself"
