"""KEDA's triggers: what is asked, over which time, in which unit, at which hours."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.custom import kserve
from hemix.infra.check.rules.values import quantity
from hemix.infra.check.rules.working.watching import seconds
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
LEAST_WINDOW_S = 30
"""Monitors read every 15 s: two readings."""
_FIELD = re.compile(r"\*(/\d+)?|\d+(-\d+)?(/\d+)?(,\d+(-\d+)?(/\d+)?)*")
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def problems(world: World) -> Iterator[str]:
    """Triggers that never, always or too late ask for another pod."""
    for manifest in world.of("ScaledObject"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _scaled(world, manifest))


def _scaled(world: World, manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    if "idleReplicaCount" in spec:
        yield f"spec.idleReplicaCount {spec['idleReplicaCount']}: the next user waits until a pod has loaded; take it out"
    for key, least, why in (
        ("cooldownPeriod", 60, "pods would come and go with each peak"),
        ("pollingInterval", 5, "figures do not change that often"),
    ):
        if isinstance(spec.get(key), int) and spec[key] < least:
            yield f"spec.{key} {spec[key]}: {why}; at least {least}"
    low, high = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    if isinstance(low, int) and low == high:
        yield f"spec: minReplicaCount and maxReplicaCount are both {low}: nothing is scaled; raise maxReplicaCount"
    for number, trigger in enumerate(spec.get("triggers") or ()):
        at = f"spec.triggers[{number}]"
        kind, told = trigger.get("type"), trigger.get("metadata") or {}
        if kind == "prometheus":
            yield from (
                f"{at}.{problem}" for problem in _query(trigger, str(told.get("query", "")))
            )
        if kind in ("cpu", "memory"):
            yield from (f"{at}.{problem}" for problem in _size(world, manifest, trigger))
        if kind == "cron":
            yield from (f"{at}.metadata.{problem}" for problem in _hours(told, spec))


def _query(trigger: Manifest, query: str) -> Iterator[str]:
    if trigger.get("metricType") == "Value":
        yield "metricType Value: the threshold is that of one pod, so AverageValue"
    said = f"metadata.query {query!r}"
    threshold = quantity((trigger.get("metadata") or {}).get("threshold", ""))
    if threshold is not None and "hemix_requests_total" in query and not 1 <= threshold <= 5000:
        yield f"metadata.threshold {threshold}: requests a second of one pod, 1 to 5000"
    if re.search(r"_(total|count|sum|bucket)\b", query) and not re.search(r"\b(rate|irate|increase)\(", query):  # fmt: skip
        yield f"{said} asks for a count that only grows: rate(...[1m])"
    if not re.match(
        r"\s*\(*\s*(sum|avg|max|min|scalar|histogram_quantile|count|quantile)\b", query
    ):
        yield f"{said} may answer with several rows, which KEDA refuses: sum(...)"
    for window in re.findall(r"\[(\w+)\]", query):
        if not LEAST_WINDOW_S <= seconds(window) <= 1800:
            yield f"{said}: [{window}] is not between {LEAST_WINDOW_S}s, two readings of the monitors, and 30m, long after a peak"


def _size(world: World, manifest: Manifest, trigger: Manifest) -> Iterator[str]:
    told, kind = trigger.get("metadata") or {}, trigger.get("type")
    target = (manifest["spec"].get("scaleTargetRef") or {}).get("name")
    containers = [
        c
        for service in world.of("InferenceService")
        for where, predictor in kserve.predictors(service)
        if kserve.name_of(service, predictor) == target
        for c in kserve.pod_of(service, where, predictor, world.manifests).spec.get("containers")
        or ()
    ]
    name = told.get("containerName")
    names = [c.get("name") for c in containers]
    if name is not None and containers and name not in names:
        yield f"metadata.containerName {name}: the pods of {target} have no such container, only {', '.join(map(str, names))}"
    value = quantity(told.get("value", ""))
    if trigger.get("metricType") == "Utilization" and value is not None and not 20 <= value <= 95:
        yield f"metadata.value {told.get('value')}: per cent of what a pod asks for, 20 to 95"
    if trigger.get("metricType") == "AverageValue" and value is not None:
        asked = [quantity(((c.get("resources") or {}).get("requests") or {}).get(str(kind), "")) for c in containers]  # fmt: skip
        most = sum((a for a in asked if a is not None), start=quantity("0") or 0)
        if most and not most / 20 <= value <= most * 2:
            yield f"metadata.value {told.get('value')} of {kind} is AverageValue, an amount a pod, and a pod asks for {float(most):g}: metricType Utilization for per cent"


def _hours(told: Manifest, spec: Manifest) -> Iterator[str]:
    zone = str(told.get("timezone", ""))
    if zone not in zoneinfo.available_timezones():
        yield f"timezone {zone!r} is no time zone, such as Europe/Berlin"
    for key in ("start", "end"):
        text = str(told.get(key, ""))
        if not _is_cron(text):
            yield f"{key} {text!r} is no time of cron: minute hour day month weekday, such as 0 8 * * *"
    if told.get("start") == told.get("end"):
        yield f"end {told.get('end')!r} is its start: it never holds"
    wanted = str(told.get("desiredReplicas", ""))
    if not wanted.isdigit() or not 1 <= int(wanted) <= spec.get("maxReplicaCount", 100):
        yield f"desiredReplicas {wanted!r} is not between 1 and maxReplicaCount {spec.get('maxReplicaCount', 100)}"


def _is_cron(text: str) -> bool:
    parts = text.split()
    if len(parts) != len(_CRON):
        return False
    for part, (low, high) in zip(parts, _CRON, strict=True):
        if not _FIELD.fullmatch(part):
            return False
        if any(not low <= int(n) <= high for n in re.findall(r"(?<![/\d])\d+", part)):
            return False
    return True
