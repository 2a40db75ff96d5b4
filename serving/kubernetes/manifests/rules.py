"""Rules of KServe's admission webhooks that its CRDs do not hold, checked before anything is sent.

Sources: kserve v0.20 ``pkg/apis/serving/v1beta1/inference_service_validation.go`` and
``pkg/apis/serving/v1alpha1/inference_graph_validation.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.errors import DefinitionError
from hemix.serving.kubernetes.manifests.names import Manifest, title

_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_DNS_LABEL = 63
_CLASSES = ("hpa", "keda", "external", "none")
_SCALED = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling")


def check(manifest: Manifest) -> None:
    """Refuse what a webhook would refuse, or silently ignore.

    Raises:
        DefinitionError: every broken rule, with the object and the field.
    """
    kind = manifest["kind"]
    if kind == "InferenceService":
        broken = list(_inference_service(manifest))
    elif kind == "InferenceGraph":
        broken = list(_inference_graph(manifest))
    else:
        return
    if broken:
        raise DefinitionError(
            f"{title(manifest)}: {'; '.join(broken)}.", hint="KServe would refuse or ignore this."
        )


def _inference_service(manifest: Manifest) -> Iterator[str]:
    metadata, spec = manifest["metadata"], manifest["spec"]
    annotations = metadata.get("annotations", {})
    stable = spec["predictor"]
    canaries = spec.get("canary", [])
    name = metadata["name"]
    if not _NAME.match(name):
        yield f"metadata.name {name!r} is not {_NAME.pattern}"
    names = [name, *(f"{name}-{c['predictor'].get('name', '')}" for c in canaries)]
    for long in (n for n in names if len(f"{n}-predictor") > _DNS_LABEL):
        yield f"the name {long}-predictor is longer than {_DNS_LABEL} letters"
    if annotations.get("serving.kserve.io/deploymentMode") != "Standard":
        yield "the annotation serving.kserve.io/deploymentMode must be Standard"
    scaler = annotations.get("serving.kserve.io/autoscalerClass", "hpa")
    if scaler not in _CLASSES:
        yield f"autoscalerClass {scaler!r} is not one of {', '.join(_CLASSES)}"
    if "canaryTrafficPercent" in stable:
        yield "predictor.canaryTrafficPercent is ignored in Standard mode: use spec.canary"
    if stable.get("model", {}).get("name"):
        yield "predictor.model.name is not allowed"
    if ("model" in stable) == ("containers" in stable):
        yield "predictor needs either model or containers"
    yield from _scaling(scaler, stable)
    yield from _canaries(stable, canaries)


def _scaling(scaler: str, stable: dict[str, Any]) -> Iterator[str]:
    if scaler == "hpa":
        metric, target = stable.get("scaleMetric", "cpu"), stable.get("scaleTarget")
        if metric not in ("cpu", "memory"):
            yield f"predictor.scaleMetric {metric!r} is not cpu or memory"
        if target is not None and not 1 <= target <= 100:
            yield f"predictor.scaleTarget {target} is not in 1..100"
    if scaler == "keda" and "scaleMetric" in stable:
        yield "predictor.scaleMetric is not for KEDA"
    low, high = stable.get("minReplicas", 1), stable.get("maxReplicas", 0)
    if high and low > high:
        yield f"predictor.minReplicas {low} is above maxReplicas {high}"


def _canaries(stable: dict[str, Any], canaries: list[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    least = stable.get("minReplicas", 1)
    for number, canary in enumerate(canaries):
        where, predictor = f"canary[{number}]", canary["predictor"]
        name = predictor.get("name", "")
        if not name:
            yield f"{where}.predictor.name is missing"
        elif name == stable.get("name"):
            yield f"{where}.predictor.name {name!r} is the stable predictor's"
        elif name in seen:
            yield f"{where}.predictor.name {name!r} is given twice"
        seen.add(name)
        if not 0 <= canary["trafficPercent"] <= 100:
            yield f"{where}.trafficPercent {canary['trafficPercent']} is not in 0..100"
        for field in (f for f in _SCALED if f in predictor):
            yield f"{where}.predictor.{field} is not allowed: a canary has a fixed number of pods"
        if predictor.get("minReplicas", 0) > least:
            yield f"{where}.predictor.minReplicas is above the stable predictor's {least}"
    if (total := sum(canary["trafficPercent"] for canary in canaries)) > 100:
        yield f"the canaries' trafficPercent sum to {total}, above 100"


def _inference_graph(manifest: Manifest) -> Iterator[str]:
    for name, node in manifest["spec"]["nodes"].items():
        if node["routerType"] != "Splitter":
            continue
        weights = [step.get("weight") for step in node.get("steps", [])]
        if None in weights or sum(weights) != 100:
            yield f"nodes.{name}: the weights of a Splitter must sum to 100"
