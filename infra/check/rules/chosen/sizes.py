"""How little each program does with, and how much no node has: memory, CPU, disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.policy.programs import of, published
from hemix.infra.check.rules.values import quantity
from hemix.infra.check.rules.world import Pod, World, title_of

Manifest = dict[str, Any]
MIB, GIB = 2**20, 2**30
_LEAST = (
    (r" hemix serve", 1024 * MIB, 0.1, "each of its processes loads torch and the model"),
    (r"torch\.distributed\.run", 2048 * MIB, 0.5, "it loads torch and its rows"),
    (r"worker_pool_main", 2048 * MIB, 0.25, "each worker loads Beam and a shard"),
    (r"library/flink .*jobmanager", 1024 * MIB, 0.1, "Flink's own parts take that"),
    (r"library/flink .*taskmanager", 1024 * MIB, 0.1, "Flink's own parts take that"),
    (r"_job_server", 512 * MIB, 0.1, "its Java machine takes that"),
    (r"storage-initializer", 128 * MIB, 0.05, "Python and one part of a file at a time take that"),
    (r"library/redis", 128 * MIB, 0.05, "its own parts take that"),
)
"""A program by its image and words; its least memory in bytes and CPUs, and why."""
_MOST = {"memory": 4 * 2**40, "cpu": 256, "ephemeral-storage": 32 * 2**40}
_FOLDER = 512 * MIB
"""Where models, batches or logs pass through."""


def problems(world: World) -> Iterator[str]:
    """Sizes with which a program ends at once, and those that no node has."""
    for pod in world.pods:
        if pod.maker == "kfp":
            continue
        for key in ("initContainers", "containers"):
            for container in pod.spec.get(key) or ():
                for problem in _container(container):
                    yield f"{pod.title}: container {container.get('name')}: {problem}"
        yield from (f"{pod.title}: {problem}" for problem in _folders(pod))
    for manifest in (*world.of("PersistentVolumeClaim"), *world.of("StatefulSet")):
        spec = manifest.get("spec") or {}
        claims = [c.get("spec") or {} for c in spec.get("volumeClaimTemplates") or ()]
        for claim in claims or ([spec] if manifest["kind"] == "PersistentVolumeClaim" else []):
            told = ((claim.get("resources") or {}).get("requests") or {}).get("storage", "")
            size = quantity(told)
            if size is not None and not 2 * GIB <= size <= 64 * 2**40:
                yield f"{title_of(manifest)}: resources.requests.storage {told} is not between 2Gi and 64Ti: no night's files fit, or no disk is that large"


def _container(container: Manifest) -> Iterator[str]:
    resources = container.get("resources") or {}
    words = " ".join(map(str, (*(container.get("command") or ()), *(container.get("args") or ()))))
    text = f"{published(of(container.get('image'))[0])} {words}"
    for side in ("requests", "limits"):
        for name, told in (resources.get(side) or {}).items():
            amount = quantity(told)
            if amount is not None and amount > _MOST.get(name, 2**60):
                yield f"resources.{side}.{name} {told}: no node has that much"
        for pattern, memory, cpu, why in _LEAST:
            if not re.search(pattern, text):
                continue
            for name, least, said in (
                ("memory", memory, f"{memory // MIB}Mi"),
                ("cpu", cpu, f"{cpu:g}"),
            ):
                told = (resources.get(side) or {}).get(name, "")
                amount = quantity(told)
                if amount is not None and float(amount) < least:
                    yield f"resources.{side}.{name} {told} is too little: {why}; at least {said}"


def _folders(pod: Pod) -> Iterator[str]:
    for volume in pod.spec.get("volumes") or ():
        empty = volume.get("emptyDir") or {}
        size = quantity(empty.get("sizeLimit", ""))
        memory = empty.get("medium") == "Memory"
        least = 64 * MIB if memory else _FOLDER
        if size is not None and size < least:
            yield f"volume {volume.get('name')}: emptyDir.sizeLimit {empty['sizeLimit']} is too little, the pod is evicted when it is full; at least {least // MIB}Mi"
        if size is not None and size > _MOST["ephemeral-storage"]:
            yield f"volume {volume.get('name')}: emptyDir.sizeLimit {empty['sizeLimit']}: no node has that much"
