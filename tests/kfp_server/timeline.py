"""When each task of a run starts and ends, and how: the pipeline's own graph, the test's outcomes.

Tasks start when those they depend on are done. A condition is decided by the output of the task
that it names. After a failure nothing new starts and what runs is let finish, as Argo does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

DRIVER = "-driver"
EXECUTOR = "executor"  # the pod of a task, a child of the task's node


@dataclass(frozen=True, kw_only=True)
class Script:
    """How a run goes: ``task_s`` seconds per task, which tasks fail and with which words, which come
    from the cache, what outputs say (``{"validate-data": False}``; True where not named), and how
    many items a loop has."""

    task_s: float = 60.0
    fails: dict[str, str] = field(default_factory=dict)
    cached: tuple[str, ...] = ()
    outputs: dict[str, bool] = field(default_factory=dict)
    items: int = 2


@dataclass(kw_only=True)
class Node:
    """One line of a run's details; ``outcome`` is its state once ``end`` is reached."""

    name: str
    start: datetime
    end: datetime
    outcome: str
    error: str = ""
    executor_of: Node | None = None

    def state(self, now: datetime) -> str:
        return self.outcome if now >= self.end else "RUNNING"


@dataclass(kw_only=True)
class Timeline:
    """All that happens in a run that is left alone."""

    nodes: list[Node]
    end: datetime
    error: str

    def until(self, now: datetime) -> list[Node]:
        return [node for node in self.nodes if node.start <= now]


def timeline(spec: dict[str, Any], script: Script, start: datetime) -> Timeline:
    """Work out a run of ``spec`` (the pipeline spec document) that starts at ``start``."""
    plan = _Plan(spec, script)
    end = plan.component("root", spec["root"], start)
    failed = [n for n in plan.nodes if n.outcome == "FAILED" and not _is_group(n, plan)]
    if failed:
        first = min(node.end for node in failed)
        plan.nodes = [node for node in plan.nodes if node.start < first or node in failed]
        end = max(node.end for node in plan.nodes if not _is_group(node, plan))
        for node in plan.nodes:
            if _is_group(node, plan) and node.end > end:
                node.end, node.outcome = end, "FAILED"
    errors = [node.error for node in sorted(failed, key=lambda n: n.end) if node.error]
    error = next(iter(errors), "failed") if failed else ""
    return Timeline(nodes=sorted(plan.nodes, key=lambda n: n.start), end=end, error=error)


class _Plan:
    def __init__(self, spec: dict[str, Any], script: Script) -> None:
        self._components = spec.get("components", {})
        self._script = script
        self.nodes: list[Node] = []
        self.groups: set[int] = set()

    def component(self, name: str, component: dict[str, Any], start: datetime) -> datetime:
        """Lay out one DAG; its end."""
        group = Node(name=name, start=start, end=start, outcome="SUCCEEDED")
        self.nodes.append(group)
        self.groups.add(id(group))
        ends: dict[str, datetime] = {}
        tasks = dict(component["dag"]["tasks"])
        while tasks:
            for task_name in list(tasks):
                needed = tasks[task_name].get("dependentTasks", ())
                if all(other in ends for other in needed):
                    task = tasks.pop(task_name)
                    begin = max([start, *(ends[other] for other in needed)])
                    ends[task_name] = self._task(task_name, task, begin)
        group.end = max([start, *ends.values()])
        if any(n.outcome == "FAILED" and start <= n.start <= group.end for n in self.nodes):
            group.outcome = "FAILED"
        return group.end

    def _task(self, name: str, task: dict[str, Any], start: datetime) -> datetime:
        script = self._script
        self.nodes.append(Node(name=name + DRIVER, start=start, end=start, outcome="SUCCEEDED"))
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition and not self._holds(condition):
            self.nodes.append(Node(name=name, start=start, end=start, outcome="SKIPPED"))
            return start
        inner = self._components[task["componentRef"]["name"]]
        if "parameterIterator" in task:
            rounds = range(script.items)
            return max([start, *(self.component(f"{name}-{i}", inner, start) for i in rounds)])
        if "dag" in inner:
            return self.component(name, inner, start)
        cached = name in script.cached
        end = start if cached else start + timedelta(seconds=script.task_s)
        says = script.fails.get(name)
        if says is None and name.split("-")[0] == "stop":
            says = "Error (exit code 4)"
        outcome = "SUCCEEDED" if says is None else "FAILED"
        node = Node(name=name, start=start, end=end, outcome=outcome)
        self.nodes.append(node)
        self.nodes.append(
            Node(
                name=EXECUTOR,
                start=start,
                end=end,
                outcome="SKIPPED" if cached else outcome,
                error=says or "",
                executor_of=node,
            )
        )
        return end

    def _holds(self, condition: str) -> bool:
        """``inputs.parameter_values['pipelinechannel--GATE-Output'] == true``, also negated."""
        match = re.search(r"pipelinechannel--([\w-]+)-\w+'\]\s*(==|!=)\s*(true|false)", condition)
        assert match is not None, f"the test server cannot decide {condition}"
        task, operator, value = match.groups()
        holds = (self._script.outputs.get(task, True) == (value == "true")) == (operator == "==")
        return not holds if condition.strip().startswith("!") else holds


def _is_group(node: Node, plan: _Plan) -> bool:
    return id(node) in plan.groups
