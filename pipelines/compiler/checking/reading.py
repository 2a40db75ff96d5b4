"""Compiled IR YAML as protobuf messages; a field that the protobuf does not know is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from hemix.errors import DefinitionError

# libyaml's parser where PyYAML was built with it: ten times as fast on these long texts.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A pipeline spec, its executors, and the pod settings of each executor's label."""

    spec: Any
    executors: Mapping[str, Any]
    pods: Mapping[str, Any] | None

    @property
    def components(self) -> Mapping[str, Any]:
        return self.spec.components


def read(text: str, where: str) -> Compiled:
    """Parse the documents of ``text``.

    Raises:
        DefinitionError: not YAML, no pipeline spec, or not what the protobuf says.
    """
    from kfp.kubernetes import kubernetes_executor_config_pb2 as pod
    from kfp.pipeline_spec import pipeline_spec_pb2 as spec

    try:
        documents = [d for d in yaml.load_all(text, Loader=_LOADER) if d]
    except yaml.YAMLError as error:
        raise DefinitionError(f"{where}: not valid YAML: {error}") from error
    specs = [d for d in documents if isinstance(d, dict) and "pipelineInfo" in d]
    platforms = [d for d in documents if isinstance(d, dict) and "platforms" in d]
    if len(specs) != 1 or len(platforms) > 1 or len(specs) + len(platforms) != len(documents):
        raise DefinitionError(
            f"{where}: holds {len(documents)} documents, not one pipeline spec and its platform.",
            hint="Write it with hemix compile.",
        )
    pipeline = _message(specs[0], spec.PipelineSpec(), where)
    deployment = _message(
        _plain(pipeline.deployment_spec), spec.PipelineDeploymentConfig(), f"{where}: executors"
    )
    pods = None
    if platforms:
        platform = _message(platforms[0], spec.PlatformSpec(), where)
        settings = platform.platforms["kubernetes"].deployment_spec.executors
        pods = {
            label: _message(_plain(value), pod.KubernetesExecutorConfig(), f"{where}: {label}")
            for label, value in settings.items()
        }
    return Compiled(spec=pipeline, executors=dict(deployment.executors), pods=pods)


def _message(value: Any, message: Any, where: str) -> Any:
    from google.protobuf import json_format

    try:
        return json_format.ParseDict(value, message)
    except json_format.ParseError as error:
        raise DefinitionError(
            f"{where}: not a {message.DESCRIPTOR.name} ({error}).",
            hint="Write it with hemix compile.",
        ) from error


def _plain(message: Any) -> Any:
    from google.protobuf import json_format

    return json_format.MessageToDict(message)
