"""The page of all configuration: every field of every file a user writes, from the classes."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.train.cluster_settings import TrainCluster
from hemix.components.validate_model.policy import Policy
from hemix.features.beam.runner_config import Dask, Dataflow, Direct, Flink, Portable, Spark
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.retention import Retention
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings

Config = type[BaseModel]
RUNNERS: tuple[Config, ...] = (Direct, Portable, Flink, Spark, Dataflow, Dask)
_ROLE = re.compile(r":(?:class|func|meth|mod|data):")


def roots() -> dict[str, Config]:
    """Title -> the class of each file that a user may write, or part of one."""
    from hemix.models.rankers.registry import RANKERS
    from hemix.models.training_config import TrainingConfig

    rankers = {f"A recipe's `model`: {name}": kind.config_type for name, kind in RANKERS.items()}
    runners = {f"`--runner-options`: {kind.__name__}": kind for kind in RUNNERS}
    return {
        "The data set definition": DatasetDefinition,
        "A recipe's `training`": TrainingConfig,
        "The policy of the model gate": Policy,
        "The policy of monitoring": MonitorPolicy,
        "The policy of cleaning": Retention,
        "The policy of an experiment": ExperimentPolicy,
        "Cluster settings of pipelines": ClusterSettings,
        "Cluster settings of training": TrainCluster,
        "Cluster settings of serving": DeploymentSettings,
        **runners,
        **rankers,
    }


def page() -> str:
    """Markdown: a section per class, a row per field with type, default and meaning."""
    parts = ["# Configuration\n\nEvery file that you may write, field by field.\n"]
    for title, root in roots().items():
        parts.append(f"## {title}\n")
        parts += [_table(kind, kind is root) for kind in reached(root)]
    return "\n".join(parts)


def reached(root: Config) -> Iterator[Config]:
    """``root`` and the classes its fields hold, each once, in order of appearance."""
    seen: dict[Config, None] = {}
    stack: list[Config] = [root]
    while stack:
        kind = stack.pop(0)
        if kind in seen:
            continue
        seen[kind] = None
        for field in kind.model_fields.values():
            stack += _classes(field.annotation)
    yield from seen


def _classes(annotation: Any) -> list[Config]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in typing.get_args(annotation) for kind in _classes(part)]


def _table(kind: Config, is_root: bool) -> str:
    lines = [] if is_root else [f"### {kind.__name__}\n"]
    lines += [_ROLE.sub("", inspect.getdoc(kind) or ""), ""]
    if kind.model_fields:
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        default = "required" if field.is_required() else _default(field)
        meaning = _cell(field.description or "")
        lines.append(f"| `{name}` | {_type(field.annotation)} | {default} | {meaning} |")
    return "\n".join([*lines, ""])


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    return f"`{_cell(repr(value))}`"


def _type(annotation: Any) -> str:
    return f"`{_cell(_name(annotation))}`"


def _name(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _name(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return " or ".join(repr(value) for value in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(part) for part in typing.get_args(annotation))
    if origin is not None:
        inside = ", ".join("..." if p is ... else _name(p) for p in typing.get_args(annotation))
        return f"{origin.__name__}[{inside}]"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
