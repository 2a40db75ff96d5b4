"""One DAG: what its tasks refer to exists, has the right type, and waits for nothing circular."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_CONDITION_INPUT = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
_ANY_ARTIFACT = "system.Artifact"
# ParameterType numbers: an integer may stand where a double is wanted.
_WIDER = {("NUMBER_INTEGER", "NUMBER_DOUBLE")}


class Dag:
    """The DAG of component ``name``, beside all components of the pipeline."""

    def __init__(self, name: str, component: Any, components: Mapping[str, Any]) -> None:
        self._name = name
        self._inputs = component.input_definitions
        self._outputs = component.output_definitions
        self._dag = component.dag
        self._components = components

    def problems(self) -> Iterator[str]:
        """Everything that is wrong, each with its place."""
        for name, task in self._dag.tasks.items():
            where = f"{self._name}/{name}"
            reference = task.component_ref.name
            component = self._components.get(reference)
            if component is None:
                yield f"{where} refers to component {reference!r}, not there"
                continue
            for problem in (
                *self._inputs_of(task, component),
                *self._order_of(task),
                *_condition_of(task),
                *_iterator_of(task, component),
            ):
                yield f"{where}: {problem}"
        yield from self._circles()
        yield from self._results()

    # ---- inputs ---------------------------------------------------------------------------------

    def _inputs_of(self, task: Any, component: Any) -> Iterator[str]:
        wanted = component.input_definitions
        item = task.parameter_iterator.item_input or task.artifact_iterator.item_input
        for name, source in task.inputs.parameters.items():
            if name not in wanted.parameters:
                yield f"gives parameter {name!r}, which its component does not take"
            else:
                yield from self._parameter(name, source, wanted.parameters[name])
        for name, source in task.inputs.artifacts.items():
            if name not in wanted.artifacts:
                yield f"gives artifact {name!r}, which its component does not take"
            else:
                yield from self._artifact(name, source, wanted.artifacts[name])
        for name, definition in wanted.parameters.items():
            given = name in task.inputs.parameters or name == item
            if (
                not given
                and not definition.is_optional
                and not definition.HasField("default_value")
            ):
                yield f"lacks parameter {name!r}"
        for name, definition in wanted.artifacts.items():
            if name not in task.inputs.artifacts and name != item and not definition.is_optional:
                yield f"lacks artifact {name!r}"

    def _parameter(self, name: str, source: Any, wanted: Any) -> Iterator[str]:
        kind = source.WhichOneof("kind")
        if kind == "task_output_parameter":
            producer = source.task_output_parameter
            found = yield from self._output(
                producer.producer_task, producer.output_parameter_key, "parameters"
            )
        elif kind == "component_input_parameter":
            found = self._inputs.parameters.get(source.component_input_parameter)
            if found is None:
                yield f"{name!r} reads input {source.component_input_parameter!r}, not there"
        elif kind in ("runtime_value", "task_final_status"):
            return
        else:
            yield f"{name!r} has no source"
            return
        if found is None or source.parameter_expression_selector:
            return
        pair = (_type(found), _type(wanted))
        if pair[0] != pair[1] and pair not in _WIDER:
            yield f"{name!r} takes {pair[1]} and is given {pair[0]}"

    def _artifact(self, name: str, source: Any, wanted: Any) -> Iterator[str]:
        kind = source.WhichOneof("kind")
        if kind == "task_output_artifact":
            producer = source.task_output_artifact
            found = yield from self._output(
                producer.producer_task, producer.output_artifact_key, "artifacts"
            )
        elif kind == "component_input_artifact":
            found = self._inputs.artifacts.get(source.component_input_artifact)
            if found is None:
                yield f"{name!r} reads input {source.component_input_artifact!r}, not there"
        else:
            yield f"{name!r} has no source"
            return
        if found is None:
            return
        pair = (found.artifact_type.schema_title, wanted.artifact_type.schema_title)
        if pair[0] != pair[1] and _ANY_ARTIFACT not in pair:
            yield f"{name!r} takes {pair[1]} and is given {pair[0]}"

    def _output(self, task: str, key: str, kind: str) -> Any:
        """The definition of a task's output; None, after saying so, when it is not there."""
        if task not in self._dag.tasks:
            yield f"reads from task {task!r}, not there"
            return None
        component = self._components.get(self._dag.tasks[task].component_ref.name)
        if component is None:  # told where that task is checked
            return None
        found = getattr(component.output_definitions, kind).get(key)
        if found is None:
            yield f"reads output {key!r} of task {task!r}, which has none of that name"
        return found

    # ---- order and results ----------------------------------------------------------------------

    def _order_of(self, task: Any) -> Iterator[str]:
        for name in task.dependent_tasks:
            if name not in self._dag.tasks:
                yield f"waits for task {name!r}, not there"
        for producer in sorted(_producers(task) - set(task.dependent_tasks)):
            yield f"reads from task {producer!r} without waiting for it"

    def _circles(self) -> Iterator[str]:
        waiting = {
            name: set(task.dependent_tasks) & set(self._dag.tasks)
            for name, task in self._dag.tasks.items()
        }
        while free := {name for name, behind in waiting.items() if not behind}:
            waiting = {n: b - free for n, b in waiting.items() if n not in free}
        if waiting:
            yield f"{self._name}: tasks {', '.join(sorted(waiting))} wait for each other"

    def _results(self) -> Iterator[str]:
        given = self._dag.outputs
        for kind, results in (("parameters", given.parameters), ("artifacts", given.artifacts)):
            declared = getattr(self._outputs, kind)
            for name, result in results.items():
                if name not in declared:
                    yield f"{self._name}: gives out {name!r}, which it does not declare"
                for task, key in _selected(kind, result):
                    for problem in _drained(self._output(task, key, kind)):
                        yield f"{self._name}: output {name!r} {problem}"
            for name in sorted(set(declared) - set(results)):
                yield f"{self._name}: declares output {name!r} and does not give it"


def _condition_of(task: Any) -> Iterator[str]:
    for name in _CONDITION_INPUT.findall(task.trigger_policy.condition):
        if name not in task.inputs.parameters:
            yield f"its condition reads {name!r}, which it is not given"


def _iterator_of(task: Any, component: Any) -> Iterator[str]:
    for iterator, kind, source in (
        (task.parameter_iterator, "parameters", "input_parameter"),
        (task.artifact_iterator, "artifacts", "input_artifact"),
    ):
        if not iterator.item_input:
            continue
        if iterator.item_input not in getattr(component.input_definitions, kind):
            yield f"loops into {iterator.item_input!r}, which its component does not take"
        items = getattr(iterator.items, source)
        if items and items not in getattr(task.inputs, kind):
            yield f"loops over {items!r}, which it is not given"


def _producers(task: Any) -> set[str]:
    parameters = (s.task_output_parameter.producer_task for s in task.inputs.parameters.values())
    artifacts = (s.task_output_artifact.producer_task for s in task.inputs.artifacts.values())
    return {name for name in (*parameters, *artifacts) if name}


def _selected(kind: str, result: Any) -> Iterator[tuple[str, str]]:
    if kind == "artifacts":
        selectors = list(result.artifact_selectors)
        yield from ((s.producer_subtask, s.output_artifact_key) for s in selectors)
        return
    selectors = [*result.value_from_oneof.parameter_selectors]
    if result.HasField("value_from_parameter"):
        selectors.append(result.value_from_parameter)
    yield from ((s.producer_subtask, s.output_parameter_key) for s in selectors)


def _drained(problems: Any) -> list[str]:
    return list(problems)


def _type(definition: Any) -> str:
    from kfp.pipeline_spec import pipeline_spec_pb2 as spec

    return str(spec.ParameterType.ParameterTypeEnum.Name(definition.parameter_type))
