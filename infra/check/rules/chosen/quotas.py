"""Quotas and defaults against what is applied: limits that no container says, objects that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hemix.infra.check.rules.named_by_pods import secrets
from hemix.infra.check.rules.values import quantity
from hemix.infra.check.rules.world import Pod, World, space_of, title_of

Manifest = dict[str, Any]
_TRAINS = ("jobs", "jobsets")
"""What Trainer makes of a TrainJob."""
_RUNS = 10
"""Pods that a run has at once beside the endpoint's: its driver, its steps."""


def problems(world: World) -> Iterator[str]:
    """Pods and objects that a quota or a LimitRange of the namespace would refuse."""
    defaults: dict[str, dict[str, Any]] = {}
    for manifest in world.of("LimitRange"):
        for entry in (manifest.get("spec") or {}).get("limits") or ():
            if entry.get("type") == "Container":
                for side in ("default", "defaultRequest", "min", "max"):
                    defaults.setdefault(side, {}).update(entry.get(side) or {})
    for manifest in world.of("LimitRange"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _defaults(world, defaults))
        for entry in (manifest.get("spec") or {}).get("limits") or ():
            yield from (f"{title_of(manifest)}: {problem}" for problem in _whole(world, entry))
    for manifest in world.of("ResourceQuota"):
        for problem in _quota(world, manifest.get("spec") or {}, defaults):
            yield f"{title_of(manifest)}: {problem}"


def _containers(world: World) -> Iterator[tuple[Pod, Manifest]]:
    for pod in world.pods:
        if pod.namespace == world.home:
            for key in ("initContainers", "containers"):
                for container in pod.spec.get(key) or ():
                    yield pod, container


def _defaults(world: World, defaults: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name in ("cpu", "memory", "ephemeral-storage"):
        default = quantity(defaults.get("default", {}).get(name, ""))
        least, most = (quantity(defaults.get(side, {}).get(name, "")) for side in ("min", "max"))
        for pod, container in _containers(world):
            resources = container.get("resources") or {}
            asked = quantity((resources.get("requests") or {}).get(name, ""))
            limit = quantity((resources.get("limits") or {}).get(name, ""))
            whom = f"{pod.title}, container {container.get('name')}"
            if default is not None and asked is not None and limit is None and asked > default:
                yield f"spec.limits: default.{name} {defaults['default'][name]} is below what {whom} asks for ({resources['requests'][name]}): the API server refuses the pod; raise it"
                break
            given = asked if asked is not None else limit
            if least is not None and given is not None and given < least:
                yield f"spec.limits: min.{name} {defaults['min'][name]} is above what {whom} asks for: the API server refuses the pod; lower it"
                break
            if most is not None and limit is not None and limit > most:
                yield f"spec.limits: max.{name} {defaults['max'][name]} is below the limit of {whom}: the API server refuses the pod; raise it"
                break


def _whole(world: World, entry: Manifest) -> Iterator[str]:
    """Bounds of pods and of claims."""
    for side in ("min", "max"):
        for name, told in (entry.get(side) or {}).items():
            bound = quantity(told)
            if bound is None:
                continue
            for title, amount in _amounts(world, str(entry.get("type")), str(name)):
                if (amount < bound) if side == "min" else (amount > bound):
                    word = "above" if side == "min" else "below"
                    yield f"spec.limits: {entry.get('type')} {side}.{name} {told} is {word} what {title} has: the API server refuses it; {'lower' if side == 'min' else 'raise'} it"
                    break


def _amounts(world: World, kind: str, name: str) -> Iterator[tuple[str, Decimal]]:
    if kind == "PersistentVolumeClaim":
        for manifest in (*world.of("PersistentVolumeClaim"), *world.of("StatefulSet")):
            spec = manifest.get("spec") or {}
            claims = [c.get("spec") or {} for c in spec.get("volumeClaimTemplates") or ()] or [spec]
            for claim in claims:
                asked = ((claim.get("resources") or {}).get("requests") or {}).get(name, "")
                if (size := quantity(asked)) is not None:
                    yield title_of(manifest), size
    if kind == "Pod":
        for pod in world.pods:
            found = [
                quantity(((c.get("resources") or {}).get("limits") or {}).get(name, ""))
                for c in pod.spec.get("containers") or ()
            ]
            if pod.namespace == world.home and all(one is not None for one in found) and found:
                yield pod.title, sum((one for one in found if one is not None), Decimal(0))


def _quota(world: World, spec: Manifest, defaults: dict[str, dict[str, Any]]) -> Iterator[str]:
    hard = spec.get("hard") or {}
    for scope in spec.get("scopes") or ():
        yield f"spec.scopes: with {scope} it counts some of the pods only, and the rest of the namespace has no bound; take scopes out"
    for name in ("cpu", "memory", "ephemeral-storage"):
        key = f"limits.{name}"
        given = {**defaults.get("max", {}), **defaults.get("default", {})}
        if key not in hard or name in given:
            continue
        for pod, container in _containers(world):
            if name not in ((container.get("resources") or {}).get("limits") or {}):
                yield f"spec.hard.{key}: {hard[key]}: {pod.title}, container {container.get('name')}, says no limit of {name}, so the API server refuses it; take {key} out, or give a default of {name} in the LimitRange"
                break
    pods = quantity(hard.get("pods", hard.get("count/pods", "")))
    kept = sum(pod.maker != "kfp" for pod in world.pods if pod.namespace == world.home)
    if pods is not None and pods < kept + _RUNS:
        yield f"spec.hard.pods: {pods}: {kept} kinds of pods are applied, and a run needs {_RUNS} more; raise it"
    for key, value in hard.items():
        amount, count = quantity(value), _count(world, str(key))
        if amount is not None and count is not None and amount < count:
            yield f"spec.hard.{key}: {value}: {count} are needed; raise it"


def _count(world: World, key: str) -> Decimal | None:
    """How many objects a quota must let in; None: it counts none of ours."""
    plural = key.removeprefix("count/").partition(".")[0]
    if not re.fullmatch(r"count/[a-z.0-9-]+|configmaps|secrets|resourcequotas", key):
        return None
    if plural == "secrets":
        return Decimal(len(secrets()))
    own = [m for m in world.manifests if space_of(m) == world.home and _plural(m["kind"]) == plural]
    made = {"pods": len(world.pods), "services": len(world.services)}
    least = made.get(plural, len(own))
    if plural in ("workflows", "trainjobs") or (
        plural in _TRAINS and any(world.of("TrainingRuntime"))
    ):
        least = max(least, 1)  # what a run makes
    if plural == "workflowtaskresults":  # one of each pod of a run
        least = sum(pod.maker == "kfp" for pod in world.pods)
    if plural == "horizontalpodautoscalers":  # KServe's or KEDA's
        least = max(least, len(list(world.of("ScaledObject"))))
    if plural in ("deployments", "replicasets"):  # KServe's too, each with the one before
        least += sum(pod.maker == "kserve" for pod in world.pods)
    return Decimal(least)


def _plural(kind: str) -> str:
    low = kind.lower()
    return low[:-1] + "ies" if low.endswith("y") and low[-2] not in "aeiou" else low + "s"
