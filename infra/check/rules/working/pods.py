"""Pods, their Services and their storage: what is accepted and then serves no one, or loses data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.own import mend, own
from hemix.infra.check.rules.policy.programs import of, published
from hemix.infra.check.rules.world import Pod, World, title_of

Manifest = dict[str, Any]
_IMAGE = re.compile(
    r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_SCOPES = {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
           "CrossNamespacePodAffinity"}  # fmt: skip
LOADS_S = 60
"""What a program that loads before it answers is given at least, in seconds."""
BEGINS_S = 20
"""Without a startup probe: when its liveness is first asked for at the earliest."""
_NO_UPDATES = ("configMap", "secret", "projected", "downwardAPI")


def problems(world: World) -> Iterator[str]:
    """What no API server says of pods, Services, claims and quotas."""
    for pod in world.pods:
        yield from (f"{pod.title}: {problem}" for problem in _pod(pod, world))
    yield from _versions(world)
    for manifest in (*world.of("Deployment"), *world.of("InferenceService")):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _rolls(manifest))
    for manifest in world.of("StatefulSet"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _keeps(manifest, world))
    for manifest in world.of("Service"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _service(manifest, world))
    for manifest in world.of("ResourceQuota"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _counts(manifest, world))


def _pod(pod: Pod, world: World) -> Iterator[str]:
    spec = pod.spec
    if spec.get("nodeName"):
        yield f"stands on the node {spec['nodeName']} alone, and no scheduler looks whether it fits"
    priority = spec.get("priorityClassName")
    named = world.named("PriorityClass", priority) is not None or priority in own().priority_classes
    if priority and not named:
        yield f"its priority class {priority} is not there; {mend('priority_classes')}"
    if spec.get("terminationGracePeriodSeconds") == 0:
        yield "is killed at once: terminationGracePeriodSeconds 0"
    volumes = {v.get("name"): v for v in spec.get("volumes") or ()}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        at = f"container {container.get('name')}"
        image = container.get("image")
        if image is not None and not _IMAGE.fullmatch(str(image)):
            yield f"{at}: {image!r} is no image: HOST/PATH in small letters, and :TAG or @sha256:..."
        yield from (f"{at}: {problem}" for problem in _probes(container))
        for mount in container.get("volumeMounts") or ():
            volume = volumes.get(mount.get("name")) or {}
            if mount.get("subPath") and set(_NO_UPDATES) & set(volume):
                yield f"{at}: a file by subPath never changes: {mount.get('mountPath')}"
            disk = "emptyDir" in volume and (volume["emptyDir"] or {}).get("medium") != "Memory"
            if mount.get("mountPath") == "/dev/shm" and disk:
                yield f"{at}: /dev/shm is not memory"
    for volume in volumes.values():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        claim = world.named("PersistentVolumeClaim", name, pod.namespace) if name else None
        if claim is not None and claim["spec"].get("volumeMode", "Filesystem") != "Filesystem":
            yield f"the claim {name} is a device, and is mounted as a folder"


def _probes(container: Manifest) -> Iterator[str]:
    startup, liveness = container.get("startupProbe"), container.get("livenessProbe")
    if startup:
        given = startup.get("failureThreshold", 3) * startup.get("periodSeconds", 10)
        given += startup.get("initialDelaySeconds", 0)
        if given < LOADS_S:
            yield f"is given {given} s to load, and at least {LOADS_S} s are needed"
    elif liveness and liveness.get("initialDelaySeconds", 0) < BEGINS_S:
        yield "is restarted while it loads: no startup probe, and no delay of its liveness"


def _versions(world: World) -> Iterator[str]:
    """Parts of somebody else's program have one version."""
    tags: dict[str, set[str]] = {}
    for pod in world.pods:
        for container in pod.spec.get("containers") or ():
            name, tag, _ = of(container.get("image"))
            if published(name).startswith("docker.io/library/"):
                tags.setdefault(published(name), set()).add(tag)
    for name, found in tags.items():
        if len(found) > 1:
            yield f"{name}: in several versions that do not speak with each other: {', '.join(sorted(found))}"


def _rolls(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    strategies = [spec.get("strategy"), (spec.get("predictor") or {}).get("deploymentStrategy")]
    for strategy in strategies:
        if ((strategy or {}).get("rollingUpdate") or {}).get("maxUnavailable") == "100%":
            yield "a roll-out takes all pods away at once"


def _keeps(manifest: Manifest, world: World) -> Iterator[str]:
    """A store's claim is where its configuration writes, and one pod has it."""
    spec = manifest.get("spec") or {}
    claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates") or ()}
    pod = (spec.get("template") or {}).get("spec") or {}
    configs = [(v.get("configMap") or {}).get("name") for v in pod.get("volumes") or ()]
    files = [
        str(text)
        for name in configs
        if name and (found := world.named("ConfigMap", name))
        for text in (found.get("data") or {}).values()
    ]
    folders = [m for text in files for m in re.findall(r"^dir (\S+)$", text, re.MULTILINE)]
    for container in pod.get("containers") or ():
        mounts = [m for m in container.get("volumeMounts") or () if m.get("name") in claims]
        for mount in mounts:
            if mount.get("readOnly"):
                yield f"its claim is mounted read only at {mount.get('mountPath')}"
        for folder in folders:
            if folder not in {m.get("mountPath") for m in mounts}:
                yield f"writes to {folder}, where none of its claims is"
    if folders and spec.get("replicas", 1) > 1:
        yield f"{spec['replicas']} pods that hold different data behind one name"


def _service(manifest: Manifest, world: World) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    if spec.get("externalIPs"):
        yield "takes requests from outside: externalIPs"
    service = next((s for s in world.services if s.title == title_of(manifest)), None)
    for pod in world.pods:
        if service is None or not service.means(pod):
            continue
        for port in spec.get("ports") or ():
            number = pod.ports().get(port.get("targetPort", port.get("port")))
            if number is not None and number != port.get("port"):
                yield f"port {port.get('port')} is {number} at {pod.title}; who asks either finds nothing"
            spoken = {
                p.get("protocol", "TCP")
                for c in pod.spec.get("containers") or ()
                for p in c.get("ports") or ()
                if p.get("containerPort") == number
            }
            if spoken and port.get("protocol", "TCP") not in spoken:
                yield f"port {port.get('port')} speaks {port.get('protocol', 'TCP')}, {pod.title} {', '.join(spoken)}"


def _counts(manifest: Manifest, world: World) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    for scope in spec.get("scopes") or ():
        if scope not in _SCOPES:
            yield f"{scope} is no scope of a quota"
    templates = [
        s["spec"].get("replicas", 1)
        for s in world.of("StatefulSet")
        for _ in s["spec"].get("volumeClaimTemplates") or ()
    ]
    claims = sum(templates) + len(list(world.of("PersistentVolumeClaim")))
    for resource, count in (("services", len(world.services)), ("persistentvolumeclaims", claims)):
        hard = str((spec.get("hard") or {}).get(resource, ""))
        if hard.isdigit() and int(hard) < count:
            yield f"{count} {resource} are applied and {hard} may be"
