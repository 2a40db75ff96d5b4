"""Room: whether quotas and limits hold what is applied, and let KFP's own containers in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hemix.infra.check.rules.custom import kserve
from hemix.infra.check.rules.values import quantity, selects
from hemix.infra.check.rules.world import World, space_of, title_of

Manifest = dict[str, Any]


def problems(world: World) -> Iterator[str]:
    """Claims within the LimitRange and the quota; every pod by itself within the quota."""
    hard: dict[str, Decimal] = {}
    for quota in world.of("ResourceQuota"):
        for name, value in ((quota.get("spec") or {}).get("hard") or {}).items():
            hard[name] = quantity(value) or Decimal(0)
    most: dict[tuple[str, str], Decimal] = {}
    for limits in world.of("LimitRange"):
        for limit in (limits.get("spec") or {}).get("limits") or ():
            for name, value in (limit.get("max") or {}).items():
                most[(str(limit.get("type")), name)] = quantity(value) or Decimal(0)
    total = Decimal(0)
    for title, size in _claims(world):
        total += size
        top = most.get(("PersistentVolumeClaim", "storage"))
        if top is not None and size > top:
            yield f"{title}: above the LimitRange's {top / 2**30:g} GiB"
    if most and not any(kind == "PersistentVolumeClaim" for kind, _ in most):
        yield "LimitRange: one claim may take all the storage there is"
    if "requests.storage" in hard and total > hard["requests.storage"]:
        yield "ResourceQuota: less storage than the claims ask for"
    for pod in world.pods:
        if pod.namespace != world.home or pod.maker == "kfp":
            continue
        for container in pod.spec.get("containers") or ():
            found = container.get("resources") or {}
            for side in ("requests", "limits"):
                for name, value in (found.get(side) or {}).items():
                    amount, top = quantity(value), hard.get(f"{side}.{name}")
                    if amount is not None and top is not None and amount > top:
                        yield f"{pod.title}: {side}.{name} {value} is above the whole quota"
                    if (
                        side == "limits"
                        and (key := most.get(("Container", name)))
                        and amount
                        and amount > key
                    ):
                        yield f"{pod.title}: limits.{name} {value} is above the LimitRange"
    missing = {*_BOUNDED, *(("requests.nvidia.com/gpu",) if _gpus(world) else ())} - set(hard)
    if hard and missing:
        yield f"ResourceQuota: leaves {', '.join(sorted(missing))} unbounded"
    yield from _steps(world, hard)
    if hard and not {"services.loadbalancers", "services.nodeports"} <= set(hard):
        yield "ResourceQuota: lets anyone open the cluster to the outside: services.loadbalancers and services.nodeports must be 0"
    for name in ("services.loadbalancers", "services.nodeports"):
        if hard.get(name, 0) > 0:
            yield f"ResourceQuota: spec.hard.{name} {hard[name]}: only the gateway lets users in; 0"
    yield from _together(world, hard)
    yield from _alive(world)
    yield from _defaults(world)


_BOUNDED = (
    "requests.cpu", "requests.memory", "limits.memory", "requests.ephemeral-storage", "pods",
    "requests.storage", "persistentvolumeclaims", "services",
)  # fmt: skip


def _gpus(world: World) -> bool:
    return any(
        "nvidia.com/gpu" in ((c.get("resources") or {}).get("limits") or {})
        for pod in world.pods
        for c in pod.spec.get("containers") or ()
        if pod.maker != "kfp"
    )


def _steps(world: World, hard: dict[str, Decimal]) -> Iterator[str]:
    """What says nothing gets the LimitRange's defaults: one of each must fit, on disk too."""
    disk = Decimal(0)
    for limits in world.of("LimitRange"):
        for entry in (limits.get("spec") or {}).get("limits") or ():
            if entry.get("type") == "Container":
                asked = (entry.get("defaultRequest") or {}).get("ephemeral-storage")
                disk = max(disk, quantity(asked) or Decimal(0))
    number = sum(_number(world, p.title) for p in world.pods if p.namespace == world.home and p.maker != "kfp")  # fmt: skip
    name = "requests.ephemeral-storage"
    top = hard.get(name)
    if top is not None and disk * number > top:
        yield f"ResourceQuota: requests.ephemeral-storage {_said(name, top)} does not hold what is applied ({_said(name, disk * number)}); raise it"


_SENSIBLE = {
    ("default", "memory"): ("256Mi", "16Gi"),
    ("default", "ephemeral-storage"): ("20Gi", "1Ti"),
    ("defaultRequest", "cpu"): ("10m", "2"),
    ("defaultRequest", "memory"): ("64Mi", "4Gi"),
    ("defaultRequest", "ephemeral-storage"): ("64Mi", "50Gi"),
}
"""Of KFP's own containers (driver, launcher, Argo's init and wait), and the disk that steps download to."""


def _defaults(world: World) -> Iterator[str]:
    """KFP's own containers say nothing: a quota on requests refuses them without defaults."""
    for limits in world.of("LimitRange"):
        own = [
            e
            for e in (limits.get("spec") or {}).get("limits") or ()
            if e.get("type") == "Container"
        ]
        for key, names in (("defaultRequest", ("cpu", "memory", "ephemeral-storage")),
                           ("default", ("memory", "ephemeral-storage"))):  # fmt: skip
            for name in names:
                if not any(name in (entry.get(key) or {}) for entry in own):
                    yield f"{title_of(limits)}: {key} says no {name}: the quota refuses KFP's containers"
                for entry in own:
                    value = quantity((entry.get(key) or {}).get(name, ""))
                    low, high = (quantity(bound) or Decimal(0) for bound in _SENSIBLE[key, name])
                    if value is not None and not low <= value <= high:
                        told = entry[key][name]
                        yield f"{title_of(limits)}: {key} {name} {told} is not between {' and '.join(_SENSIBLE[key, name])}"


def _claims(world: World) -> Iterator[tuple[str, Decimal]]:
    for manifest in world.manifests:
        if space_of(manifest) != world.home:
            continue
        found = [manifest] if manifest["kind"] == "PersistentVolumeClaim" else []
        if manifest["kind"] == "StatefulSet":
            found = list((manifest.get("spec") or {}).get("volumeClaimTemplates") or ())
        for claim in found:
            asked = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
            yield title_of(manifest), quantity(asked.get("storage")) or Decimal(0)


def _together(world: World, hard: dict[str, Decimal]) -> Iterator[str]:
    """All pods at their least numbers, a training among them, fit into the quota."""
    total: dict[str, Decimal] = {}
    for pod in world.pods:
        if pod.namespace != world.home or pod.maker == "kfp":
            continue
        number = _number(world, pod.title)
        total["pods"] = total.get("pods", Decimal(0)) + number
        for container in pod.spec.get("containers") or ():
            for side in ("requests", "limits"):
                for name, value in ((container.get("resources") or {}).get(side) or {}).items():
                    key = f"{side}.{name}"
                    total[key] = total.get(key, Decimal(0)) + number * (
                        quantity(value) or Decimal(0)
                    )
    for name, amount in sorted(total.items()):
        if name in hard and amount > hard[name]:
            yield f"ResourceQuota: {name} {_said(name, hard[name])} does not hold what is applied ({_said(name, amount)}); raise it"


def _said(name: str, amount: Decimal) -> str:
    """An amount as a manifest writes it: ``800Gi`` of memory and disks, plain numbers of the rest."""
    if not name.endswith(("memory", "storage")):
        return f"{amount:g}"
    for unit, size in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20)):
        if amount >= size:
            return f"{float(amount / size):.4g}{unit}"
    return f"{amount:g}"


def _number(world: World, title: str) -> int:
    """The least number of pods of what carries this title."""
    for manifest in world.manifests:
        if not title.startswith(title_of(manifest)):
            continue
        spec = manifest.get("spec") or {}
        if manifest["kind"] == "InferenceService":
            for where, predictor in kserve.predictors(manifest):
                if title == f"{title_of(manifest)} {where}":
                    return int(predictor.get("minReplicas", 1))
        elif manifest["kind"] == "TrainJob":
            return int((spec.get("trainer") or {}).get("numNodes", 1))
        elif title == title_of(manifest):
            return int(spec.get("replicas", 1))
    return 1


def _alive(world: World) -> Iterator[str]:
    """Workloads have pods; budgets let at least one of them go; nothing opens the cluster."""
    for manifest in (*world.of("Deployment"), *world.of("StatefulSet")):
        if (manifest.get("spec") or {}).get("replicas", 1) < 1:
            yield f"{title_of(manifest)}: has no pod"
    for manifest in world.of("PodDisruptionBudget"):
        least = (manifest.get("spec") or {}).get("minAvailable")
        selector = (manifest.get("spec") or {}).get("selector")
        meant = [
            pod for pod in world.pods
            if pod.namespace == space_of(manifest) and selects(selector, pod.labels)
        ]  # fmt: skip
        number = sum(_number(world, pod.title) for pod in meant)
        if isinstance(least, int) and meant and least >= number:
            yield f"{title_of(manifest)}: {least} of {number} pods must stay: a node can never be drained"
    for manifest in world.of("Service"):
        kind = (manifest.get("spec") or {}).get("type", "ClusterIP")
        if kind in ("LoadBalancer", "NodePort"):
            yield f"{title_of(manifest)}: the quota allows no {kind}, and only the gateway lets users in"
