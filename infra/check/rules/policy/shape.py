"""How pods are kept: probed, spread, drained, sized, by one owner; and what keeps them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hemix.infra.check.rules.custom import kserve
from hemix.infra.check.rules.values import quantity, selects
from hemix.infra.check.rules.world import Pod, World, space_of, title_of

Manifest = dict[str, Any]
LEAST_MEMORY = 32 * 2**20
LEAST_CPU = 0.01
DRAINS_S = 25
"""From the pause before a pod stops until it must have answered what it took."""
_SPREAD = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


def problems(world: World) -> Iterator[str]:
    """What is taken and then fails at the first lost node, roll-out or hung process."""
    for pod in world.pods:
        yield from (f"{pod.title}: {problem}" for problem in _pod(pod, world))
    yield from _owners(world)
    for manifest in world.of("PodDisruptionBudget"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _budget(manifest, world))
    for manifest in (*world.of("Deployment"), *world.of("StatefulSet")):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _alone(manifest))
    yield from _claims(world)


def _pod(pod: Pod, world: World) -> Iterator[str]:
    spec = pod.spec
    containers = spec.get("containers") or ()
    for container in (*(spec.get("initContainers") or ()), *containers):
        at = f"container {container.get('name')}"
        yield from (f"{at}: {problem}" for problem in _sizes(container))
    yield from _volumes(spec)
    yield from _mounts(spec)
    if pod.maker == "kfp":
        return
    context = spec.get("securityContext") or {}
    for key in ("runAsUser", "runAsGroup"):
        if context.get(key) is None:
            yield f"says no {key}: the image's own user may be root, or a name"
    for key in ("runAsGroup", "fsGroup"):
        if context.get(key) == 0:
            yield f"{key} is root's group"
    if len({context.get(key) for key in ("runAsUser", "runAsGroup")}) > 1:
        yield f"runs as {context.get('runAsUser')}:{context.get('runAsGroup')}: folders of images belong to one number"
    if context.get("fsGroup") not in (None, context.get("runAsGroup")):
        yield f"fsGroup {context.get('fsGroup')} is not its group {context.get('runAsGroup')}"
    if spec.get("enableServiceLinks") is not False:
        yield "enableServiceLinks: each Service of the namespace becomes variables of its own"
    if spec.get("automountServiceAccountToken") is not False:
        yield "gets a token of the API server that it has no use for"
    for container in containers:
        at = f"container {container.get('name')}"
        limits = (container.get("resources") or {}).get("limits") or {}
        requests = (container.get("resources") or {}).get("requests") or {}
        memory = quantity(requests.get("memory", limits.get("memory")))
        if memory is not None and memory != quantity(limits.get("memory")):
            yield f"{at}: asks for less memory than it may take: evicted first when the node is full"
        if pod.maker != "trainer" and "cpu" not in requests:
            yield f"{at}: asks for no CPU"
        if pod.maker != "trainer":
            yield from (f"{at}: {problem}" for problem in _probes(container, pod, world))
    if pod.maker == "trainer" and "livenessProbe" in str(containers):
        yield "a node of a training is not asked whether it lives"
    if pod.maker == "kserve":
        yield from _serving(pod)


def _sizes(container: Manifest) -> Iterator[str]:
    for side, found in (container.get("resources") or {}).items():
        if side not in ("requests", "limits") or not isinstance(found, dict):
            continue
        memory, cpu = quantity(found.get("memory", "1Gi")), quantity(found.get("cpu", "1"))
        disk = quantity(found.get("ephemeral-storage", "1Gi"))
        if memory is not None and memory < LEAST_MEMORY:
            yield f"resources.{side}.memory {found['memory']}: no program starts in that"
        if cpu is not None and not LEAST_CPU <= cpu <= 256:
            yield f"resources.{side}.cpu {found['cpu']}: is not what a program takes"
        if disk is not None and disk < 2**20:
            yield f"resources.{side}.ephemeral-storage {found['ephemeral-storage']}: is evicted at its first file"


_PLACES = {
    "hemix-shared": ("/mnt/hemix", "/mnt/training"),
    "hemix-data": ("/var/lib/hemix", "/mnt/hemix"),
}
"""Where the programs look for what lies in a claim."""


def _mounts(spec: Manifest) -> Iterator[str]:
    volumes = {v.get("name"): v for v in spec.get("volumes") or ()}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for mount in container.get("volumeMounts") or ():
            volume, path = volumes.get(mount.get("name")) or {}, mount.get("mountPath")
            if (volume.get("emptyDir") or {}).get("medium") == "Memory" and path != "/dev/shm":
                yield f"container {container.get('name')}: memory at {path}, where no program looks (/dev/shm)"
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if path not in _PLACES.get(str(claim), (path,)):
                yield f"container {container.get('name')}: the claim {claim} at {path}, not at {' or '.join(_PLACES[str(claim)])}"
            if claim and mount.get("readOnly"):
                yield f"container {container.get('name')}: the claim {claim} cannot be written"


def _volumes(spec: Manifest) -> Iterator[str]:
    limits = [
        quantity(((c.get("resources") or {}).get("limits") or {}).get("memory"))
        for c in spec.get("containers") or ()
    ]
    room = sum(limit for limit in limits if limit is not None)
    mounted = {
        m.get("name")
        for c in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
        for m in c.get("volumeMounts") or ()
    }
    for volume in spec.get("volumes") or ():
        at = f"volume {volume.get('name')}"
        empty = volume.get("emptyDir")
        size = quantity(empty["sizeLimit"]) if empty and "sizeLimit" in empty else None
        if size is not None and size < 64 * 2**20:
            yield f"{at}: sizeLimit {empty['sizeLimit']}: the pod is evicted at its first file"
        if empty and empty.get("medium") == "Memory":
            if size is None:
                yield f"{at}: memory without a bound"
            elif room and size >= room:
                yield f"{at}: takes {empty['sizeLimit']} of the containers' memory, all there is"
        if "projected" in volume and not [
            s for s in (volume["projected"] or {}).get("sources") or () if s
        ]:
            yield f"{at}: projects nothing"
        if volume.get("name") not in mounted:
            yield f"{at}: no container mounts it"


def _probes(container: Manifest, pod: Pod, world: World) -> Iterator[str]:
    numbers = {p.get("containerPort") for p in container.get("ports") or ()}
    names = {p.get("name") for p in container.get("ports") or ()}
    served = {
        port.get("targetPort", port.get("port"))
        for service in world.services
        if service.means(pod)
        for port in service.ports
    } & (numbers | names)
    if not container.get("livenessProbe"):
        yield "no liveness probe: a hung process is never started again"
    if served and not container.get("readinessProbe"):
        yield "no readiness probe: is sent requests before it can answer them"
    for kind, most in (("readinessProbe", 60), ("livenessProbe", 300), ("startupProbe", 1800)):
        probe = container.get(kind)
        if not probe:
            continue
        period, timeout = probe.get("periodSeconds", 10), probe.get("timeoutSeconds", 1)
        numbers_of = (period, timeout, probe.get("failureThreshold", 3))
        if not all(isinstance(number, int) for number in numbers_of):
            continue  # said where containers are looked at by themselves
        late = period * probe.get("failureThreshold", 3)
        if late > most:
            yield f"{kind}: a process that hangs is noticed after {late} s"
        if timeout > period:
            yield f"{kind}: waits {timeout} s for an answer and asks every {period} s"
        if kind == "livenessProbe" and probe.get("failureThreshold", 3) < 2:
            yield f"{kind}: failureThreshold 1: one late answer ends the process; at least 2"
        elif kind == "livenessProbe" and period * probe.get("failureThreshold", 3) < 15:
            yield f"{kind}: ends a process that is busy for {late} s"


def _serving(pod: Pod) -> Iterator[str]:
    """A pod that users ask drains before it stops, and stands apart from its like."""
    grace = pod.spec.get("terminationGracePeriodSeconds", 30)
    for container in pod.spec.get("containers") or ():
        stop = (container.get("lifecycle") or {}).get("preStop") or {}
        seconds = (stop.get("sleep") or {}).get("seconds")
        if seconds is None:
            yield f"container {container.get('name')}: stops while requests still come (preStop: sleep)"
        elif isinstance(grace, int) and grace < seconds + DRAINS_S:
            yield f"terminationGracePeriodSeconds {grace}: {seconds} s pass before it stops, and it answers for {DRAINS_S} s more"
    spread = pod.spec.get("topologySpreadConstraints") or ()
    if not any(term.get("topologyKey") == _SPREAD[0] for term in spread):
        yield f"may stand on one node with its like (topologySpreadConstraints: {_SPREAD[0]})"
    for term in spread:
        if term.get("topologyKey") not in _SPREAD:
            yield f"topologySpreadConstraints: nodes carry no {term.get('topologyKey')}"
        if not (term.get("labelSelector") or {}).get("matchLabels"):
            yield "topologySpreadConstraints: counts every pod of the namespace"


def _owners(world: World) -> Iterator[str]:
    """Selectors of workloads, Services and budgets mean one kind of pods each."""
    titles = {pod.title for pod in world.pods if pod.maker != "kfp"}
    for kind in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
        for manifest in world.of(kind):
            selector = (manifest.get("spec") or {}).get("selector") or {}
            meant = [
                p for p in world.pods
                if p.namespace == space_of(manifest) and selects(selector, p.labels)
            ]  # fmt: skip
            others = sorted({p.title.partition(" spec.")[0] for p in meant} & {
                t.partition(" spec.")[0] for t in titles} - {title_of(manifest)})  # fmt: skip
            if kind == "PodDisruptionBudget":
                if len(others) > 1:
                    yield f"{title_of(manifest)}: counts the pods of {' and of '.join(others)} as one"
            elif others:
                yield f"{title_of(manifest)}: its selector means the pods of {others[0]} too"
    for service in world.services:
        found = sorted({pod.title for pod in world.pods if service.means(pod)})
        if len(found) > 1:
            yield f"{service.title}: sends requests to {' and to '.join(found)} alike"


def _budget(manifest: Manifest, world: World) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "a pod that is broken keeps its node from being drained (unhealthyPodEvictionPolicy)"
    pods = [
        pod for pod in world.pods
        if pod.namespace == space_of(manifest) and selects(spec.get("selector"), pod.labels)
    ]  # fmt: skip
    least = min((_least(world, pod) for pod in pods), default=0)
    most = spec.get("maxUnavailable")
    if isinstance(most, str):
        if most == "100%":
            yield "lets all pods go at once"
    elif most is not None and (most > max(least, 1) or most >= least > 1):
        yield f"lets {most} of {least} pods go at once"


def _least(world: World, pod: Pod) -> int:
    for manifest in world.manifests:
        spec = manifest.get("spec") or {}
        if manifest["kind"] == "InferenceService":
            for where, predictor in kserve.predictors(manifest):
                if pod.title == f"{title_of(manifest)} {where}":
                    return int(predictor.get("minReplicas", 1))
        elif pod.title == title_of(manifest):
            return int(spec.get("replicas", 1))
    return 1


_ALONE = ("jobmanager", "jobserver")
"""Keep what they know in memory: there is one of each, and the old one ends first."""


def _alone(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if labels.get("app.kubernetes.io/component") in _ALONE:
        if spec.get("replicas", 1) != 1:
            yield f"{spec['replicas']} pods that know nothing of each other"
        if (spec.get("strategy") or {}).get("type") != "Recreate":
            yield "two of it would stand side by side during a roll-out (strategy: Recreate)"


def _claims(world: World) -> Iterator[str]:
    """A size is a size; a store's disk holds twice its memory, as rewriting its file needs."""
    for manifest in world.of("PersistentVolumeClaim"):
        size = quantity(_asked(manifest.get("spec") or {}))
        if size is not None and size < 2**30:
            yield f"{title_of(manifest)}: a disk of {_asked(manifest['spec'])}"
    for manifest in world.of("StatefulSet"):
        spec = manifest.get("spec") or {}
        claims = [c.get("spec") or {} for c in spec.get("volumeClaimTemplates") or ()]
        for claim in claims:
            if not {"ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"} & set(
                claim.get("accessModes") or ()
            ):
                yield f"{title_of(manifest)}: its claim cannot be written"
        disk = sum((quantity(_asked(claim)) or 0) for claim in claims)
        for container in ((spec.get("template") or {}).get("spec") or {}).get("containers") or ():
            for variable in container.get("env") or ():
                match = re.fullmatch(r"(\d+)(mb|gb)", str(variable.get("value", "")))
                if variable.get("name") != "MAXMEMORY" or not match:
                    continue
                held = int(match[1]) * {"mb": 2**20, "gb": 2**30}[match[2]]
                if disk < 2 * held:
                    yield f"{title_of(manifest)}: its disk is below twice its memory of {match[0]}"
                limits = (container.get("resources") or {}).get("limits") or {}
                limit = quantity(limits.get("memory")) or 0
                if limit and held > limit * Decimal("0.9"):
                    yield f"{title_of(manifest)}: {match[0]} of data leave nothing of {limits.get('memory')} for connections and rewriting"
                if held < 64 * 2**20 or (limit and held < limit / 4):
                    yield f"{title_of(manifest)}: holds {match[0]} of {limits.get('memory')}"


def _asked(spec: Manifest) -> Any:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage", 0)
