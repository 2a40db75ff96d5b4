"""The page of all configuration: every field of every file a user writes, from the classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.train.cluster_settings import TrainCluster
from hemix.components.validate_model.policy import Policy
from hemix.features.beam.runner_config import Dask, Dataflow, Direct, Flink, Portable, Spark
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.retention import Retention
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.texts.fields import REQUIRED, Config, classes, default_text, type_name

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
            stack += classes(field.annotation)
    yield from seen


def _table(kind: Config, is_root: bool) -> str:
    lines = [] if is_root else [f"### {kind.__name__}\n"]
    lines += [_ROLE.sub("", inspect.getdoc(kind) or ""), ""]
    if kind.model_fields:
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        meaning = _cell(field.description or "")
        lines.append(
            f"| `{name}` | `{_cell(type_name(field.annotation))}` | {_default(field)} | {meaning} |"
        )
    return "\n".join([*lines, ""])


def _default(field: Any) -> str:
    text = default_text(field)
    return text if text in ("", REQUIRED) else f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
