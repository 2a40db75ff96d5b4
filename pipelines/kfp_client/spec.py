"""What a compiled pipeline says of itself: its parameters and its tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hemix.errors import DefinitionError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # some ten times as fast, when built
_CONDITION = re.compile(r"\['pipelinechannel--(.+?)-\w+'\]")
_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list, tuple),
    "STRUCT": (dict,),
}


def spec_of(text: str) -> dict[str, Any]:
    """The pipeline spec in compiled IR YAML (the platform spec is a second document)."""
    documents = [d for d in yaml.load_all(text, Loader=_LOADER) if isinstance(d, dict)]
    return next(document for document in documents if "pipelineInfo" in document)


def inputs_of(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of each parameter -> its definition (``parameterType``, ``isOptional``, ...)."""
    root = spec.get("root", {})
    return dict(root.get("inputDefinitions", {}).get("parameters", {}))


def check_parameters(spec: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Refuse here what the server would refuse, or what would fail in the first step.

    Raises:
        DefinitionError: a parameter is unknown, missing or of another type.
    """
    pipeline = spec["pipelineInfo"]["name"]
    inputs = inputs_of(spec)
    for name, value in parameters.items():
        if name not in inputs:
            raise DefinitionError(
                f"Pipeline {pipeline} has no parameter {name!r}.",
                hint=f"It has: {', '.join(sorted(inputs))}.",
            )
        kind = inputs[name].get("parameterType", "")
        if kind not in _KINDS:
            continue
        is_bool_as_number = isinstance(value, bool) and kind != "BOOLEAN"
        if is_bool_as_number or not isinstance(value, _KINDS[kind]):
            raise DefinitionError(
                f"Parameter {name} of pipeline {pipeline}: {value!r} is not of type {kind}."
            )
    missing = [
        name
        for name, definition in inputs.items()
        if name not in parameters
        and not definition.get("isOptional")
        and "defaultValue" not in definition
    ]
    if missing:
        raise DefinitionError(
            f"Pipeline {pipeline} needs {', '.join(sorted(missing))}.",
            hint=f"For example --param {sorted(missing)[0]}=VALUE.",
        )


def tasks_of(spec: Mapping[str, Any]) -> list[str]:
    """Names of the tasks that do work, each once, in an order that respects dependencies."""
    names: dict[str, None] = {}
    for name in _tasks(spec, spec.get("root", {})):
        names.setdefault(name)
    return list(names)


def gates_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Name of each task in a conditional block -> the task whose output opened the block."""
    found: dict[str, str] = {}
    components = spec.get("components", {})
    for component in (spec.get("root", {}), *components.values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            match = _CONDITION.search(task.get("triggerPolicy", {}).get("condition", ""))
            block = components.get(task["componentRef"]["name"], {})
            if match:
                found.update(dict.fromkeys(block.get("dag", {}).get("tasks", {}), match[1]))
    return found


def _tasks(spec: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[str]:
    tasks = component.get("dag", {}).get("tasks", {})
    for name in _ordered(tasks):
        inner = spec.get("components", {}).get(tasks[name]["componentRef"]["name"], {})
        if "dag" in inner:
            yield from _tasks(spec, inner)
        else:
            yield name


def _ordered(tasks: Mapping[str, Any]) -> Iterator[str]:
    """Dependencies first; among the free ones, those that others wait for the least last."""
    left = dict(tasks)
    done: set[str] = set()
    while left:
        free = [
            name
            for name, task in left.items()
            if all(needed in done for needed in task.get("dependentTasks", ()))
        ]
        for name in free or list(left):
            done.add(name)
            left.pop(name)
            yield name
