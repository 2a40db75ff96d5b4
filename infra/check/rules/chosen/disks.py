"""Claims by who mounts them, and what must outlive a pod."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.custom import kserve
from hemix.infra.check.rules.world import Pod, World, space_of, title_of

Manifest = dict[str, Any]
_KEPT = ("--exposures",)
"""What experiments and monitoring read later: a claim or object storage."""
_PLACES = ("spec", "train", "validation", "checkpoints")


def problems(world: World) -> Iterator[str]:
    """Disks that not all of their pods can mount, and files that end with a pod."""
    for manifest in world.of("PersistentVolumeClaim"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _claim(world, manifest))
    for manifest in world.of("StatefulSet"):
        for claim in (manifest.get("spec") or {}).get("volumeClaimTemplates") or ():
            yield from (f"{title_of(manifest)}: volumeClaimTemplates: {p}" for p in _class(claim))
    for pod in world.pods:
        if pod.maker != "kfp":
            yield from (f"{pod.title}: {problem}" for problem in _kept(pod))
        if pod.maker == "trainer":
            yield from (f"{pod.title}: {problem}" for problem in _training(pod))
    for manifest in world.of("InferenceService"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _rolls(world, manifest))
    for manifest in world.of("Deployment"):
        spec = manifest.get("spec") or {}
        if (spec.get("strategy") or {}).get("type") == "Recreate" and spec.get("replicas", 1) > 1:
            yield f"{title_of(manifest)}: spec.strategy.type Recreate takes all {spec['replicas']} pods away before one comes; RollingUpdate"


def _class(claim: Manifest) -> Iterator[str]:
    spec = claim.get("spec") or {}
    if spec.get("storageClassName") == "":
        yield 'storageClassName "" waits for a volume that someone makes by hand; take it out, or name a class'


def _claim(world: World, manifest: Manifest) -> Iterator[str]:
    yield from _class(manifest)
    name, modes = (
        manifest["metadata"]["name"],
        (manifest.get("spec") or {}).get("accessModes") or (),
    )
    users = [
        pod for pod in world.pods
        if pod.namespace == space_of(manifest) and any(
            (v.get("persistentVolumeClaim") or {}).get("claimName") == name
            for v in pod.spec.get("volumes") or ()
        )
    ]  # fmt: skip
    uris = [m for m in world.of("InferenceService") if f"pvc://{name}/" in json.dumps(m)]
    number = sum(_pods(world, pod) for pod in users) + len(uris)
    told = f"accessModes {', '.join(map(str, modes))}"
    if modes and not {"ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"} & set(modes):
        yield f"{told}: runs and pods write to it; ReadWriteMany"
    if "ReadWriteOncePod" in modes:
        yield f"{told}: runs and several pods mount it; ReadWriteMany, or ReadWriteOnce where there is one node"
    apart = max((_pods(world, pod) for pod in users if pod.maker != "kserve"), default=0)
    if not {"ReadWriteMany", "ReadWriteOncePod"} & set(modes) and apart > 1 and number > 1:
        yield f"{told}: {apart} pods of {users[0].title} mount it, on several nodes; ReadWriteMany"


def _pods(world: World, pod: Pod) -> int:
    for manifest in world.manifests:
        spec = manifest.get("spec") or {}
        if title_of(manifest) == pod.title:
            return int(spec.get("replicas", 1))
        if manifest["kind"] == "TrainJob" and pod.title.startswith(title_of(manifest)):
            return int((spec.get("trainer") or {}).get("numNodes", 1))
    return 1


def _folder(pod: Pod, container: Manifest, path: str) -> str | None:
    """The kind of volume under a path; None: none, the root."""
    volumes = {v.get("name"): v for v in pod.spec.get("volumes") or ()}
    best, kind = "", None
    for mount in container.get("volumeMounts") or ():
        at = str(mount.get("mountPath")).rstrip("/")
        if (path == at or path.startswith(at + "/")) and len(at) > len(best):
            volume = volumes.get(mount.get("name")) or {}
            best, kind = at, next((k for k in volume if k != "name"), None)
    return kind


def _kept(pod: Pod) -> Iterator[str]:
    for container in pod.spec.get("containers") or ():
        told = dict(itertools.pairwise(str(word) for word in container.get("args") or ()))
        for option in _KEPT:
            place = told.get(option, "")
            if place.startswith("/") and _folder(pod, container, place) != "persistentVolumeClaim":
                yield f"container {container.get('name')}: {option} {place} ends with the pod: a path in a claim, or s3://"


def _training(pod: Pod) -> Iterator[str]:
    for container in pod.spec.get("containers") or ():
        for word in container.get("args") or ():
            try:
                work = json.loads(str(word))
            except ValueError:
                continue
            if not isinstance(work, dict):
                continue
            seen: dict[str, str] = {}
            for key in _PLACES:
                place = str(work.get(key, ""))
                at = f"container {container.get('name')}: {key} {place}"
                if place.startswith("/") and _folder(pod, container, place) != "persistentVolumeClaim":  # fmt: skip
                    yield f"{at}: no claim is mounted there, so other nodes and later attempts do not see it; a path in a claim, or s3://"
                if place in seen:
                    yield f"{at} is its {seen[place]} too: each has a place of its own"
                seen[place] = key


def _rolls(world: World, manifest: Manifest) -> Iterator[str]:
    """A version is replaced pod by pod, but where its disk is one node's."""
    for number, canary in enumerate((manifest.get("spec") or {}).get("canary") or ()):
        share = canary.get("trafficPercent")
        if not isinstance(share, int) or not 1 <= share <= 50:
            yield f"spec.canary[{number}].trafficPercent {share}: a trial has 1 to 50 per cent of the requests"
    for where, predictor in kserve.predictors(manifest):
        kind = (predictor.get("deploymentStrategy") or {}).get("type")
        names = [(v.get("persistentVolumeClaim") or {}).get("claimName") for v in predictor.get("volumes") or ()]  # fmt: skip
        least = predictor.get("minReplicas", 1)
        away = ((predictor.get("deploymentStrategy") or {}).get("rollingUpdate") or {}).get(
            "maxUnavailable", 0
        )
        if isinstance(away, int) and isinstance(least, int) and away >= max(least, 1):
            yield f"{where}.deploymentStrategy.rollingUpdate.maxUnavailable {away} of {least} pods at a time: users get nothing; 0 or 1"
        if kind == "Recreate" and not any(names):
            yield f"{where}.deploymentStrategy.type Recreate: users get nothing while a new pod loads; RollingUpdate"
