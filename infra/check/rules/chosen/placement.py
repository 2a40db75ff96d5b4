"""Where pods may stand and how they are replaced; which disk of a node they may fill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.own import mend, own
from hemix.infra.check.rules.values import quantity
from hemix.infra.check.rules.world import Pod, World, title_of

Manifest = dict[str, Any]
_NUMBERS = {
    "minReadySeconds": (0, 600, "a roll-out would take hours"),
    "progressDeadlineSeconds": (120, 7200, "images of gigabytes are pulled first"),
    "revisionHistoryLimit": (1, 50, "one at least is needed to go back"),
}
_INJECT = ("istio-injection", "linkerd.io/inject", "istio.io/rev", "istio.io/dataplane-mode")
_DISK = "ephemeral-storage"


def problems(world: World) -> Iterator[str]:
    """Pods that stand where they must not, or are replaced too slowly or never."""
    for pod in world.pods:
        if pod.maker != "kfp":
            yield from (f"{pod.title}: {problem}" for problem in _pod(pod))
    for manifest in (*world.of("Deployment"), *world.of("StatefulSet")):
        for key, (low, high, why) in _NUMBERS.items():
            value = (manifest.get("spec") or {}).get(key)
            if isinstance(value, int) and not low <= value <= high:
                yield f"{title_of(manifest)}: spec.{key} {value} is not between {low} and {high}: {why}"
    for manifest in world.of("Namespace"):
        for key, value in (manifest["metadata"].get("labels") or {}).items():
            meant = key in own().annotations or value in ("disabled", "none")
            if key in _INJECT and not meant:
                yield f"{title_of(manifest)}: label {key}: {value}: a mesh would put sidecars into pods of runs, which never end then; take it out; {mend('annotations')}"


def _pod(pod: Pod) -> Iterator[str]:
    for toleration in pod.spec.get("tolerations") or ():
        if not toleration.get("key"):
            yield "tolerations: operator Exists without a key stands on every node, those that are drained or broken too; name the key"
    sizes = {
        v.get("name"): quantity((v.get("emptyDir") or {}).get("sizeLimit", ""))
        for v in pod.spec.get("volumes") or ()
        if (v.get("emptyDir") or {}).get("medium") != "Memory"
    }
    for container in pod.spec.get("containers") or ():
        at = f"container {container.get('name')}: resources"
        resources = container.get("resources") or {}
        for side in ("requests", "limits"):
            for name in resources.get(side) or {}:
                if str(name).startswith("hugepages-"):
                    yield f"{at}.{side}.{name}: no program here takes huge pages, and few nodes have any; take it out"
        told = (resources.get("limits") or {}).get(_DISK, "")
        limit = quantity(told)
        for mount in container.get("volumeMounts") or ():
            size = sizes.get(mount.get("name"))
            if limit is not None and size is not None and limit < size:
                yield f"{at}.limits.{_DISK} {told} is below the sizeLimit of {mount.get('name')}: the pod is evicted before that is full; raise it"
