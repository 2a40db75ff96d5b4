"""One object by itself: the published schema, then what schemas do not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check import schemas
from hemix.infra.check.objects import Manifest
from hemix.infra.check.rules import kinds, networking, podspec
from hemix.infra.check.rules.custom import alerting, kserve, operators, trainer
from hemix.infra.check.rules.values import quantity

CUSTOM = {
    "InferenceService": "serving.kserve.io/v1beta1",
    "ServingRuntime": "serving.kserve.io/v1alpha1",
    "ClusterStorageContainer": "serving.kserve.io/v1alpha1",
    "TrainJob": "trainer.kubeflow.org/v1alpha1",
    "TrainingRuntime": "trainer.kubeflow.org/v1alpha1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "AlertmanagerConfig": "monitoring.coreos.com/v1alpha1",
    "PodDefault": "kubeflow.org/v1alpha1",
}
"""The versions that installed controllers serve."""
_IMAGE = re.compile(
    r"^[a-z0-9][a-zA-Z0-9._:/-]*(:(?P<tag>[\w][\w.-]{0,127})|@sha256:[0-9a-f]{64})$"
)
_RULES = (kinds, networking, kserve, trainer, operators, alerting)


def problems(manifest: Manifest) -> list[str]:
    """Why a cluster would refuse ``manifest``, a core type; empty when it would not."""
    return [*schemas.core_problems(manifest), *everywhere(manifest)]


def everywhere(manifest: Manifest) -> list[str]:
    """What holds for custom resources too: names, labels, quantities, pods, and rules of its kind."""
    found = list(kinds.metadata(manifest))
    known = CUSTOM.get(str(manifest.get("kind")))
    if known is not None and manifest.get("apiVersion") != known:
        found.append(
            f"apiVersion: {manifest.get('apiVersion')} of {manifest['kind']} is not {known}"
        )
    for path, value in _walk(manifest):
        if path[-1:] in (("requests",), ("limits",), ("hard",)) and isinstance(value, dict):
            for name, amount in value.items():
                if quantity(amount) is None:
                    found.append(f"{'.'.join(path)}.{name}: {amount!r} is no quantity")
        if path[-1:] == ("image",) and isinstance(value, str):
            match = _IMAGE.match(value)
            if match is None or match["tag"] == "latest":
                found.append(f"{'.'.join(path)}: {value!r} is not pinned by a tag or digest")
    try:
        for rule in _RULES:
            found += rule.problems(manifest)
        for template in (
            *podspec.templates(manifest),
            *kserve.partial(manifest),
            *trainer.partial(manifest),
        ):
            found += podspec.problems(template)
    except (AttributeError, TypeError, KeyError) as error:  # a text where a mapping belongs
        found.append(f"{manifest.get('kind')}: is not built as its kind is ({error!r})")
    return list(dict.fromkeys(found))


def _walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, value
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from _walk(child, (*path, str(key)))
