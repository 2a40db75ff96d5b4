"""The endpoint, its route, scaling and trainings: values that are taken and then do no good."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
DEPLOYMENT = "hemix/deployment"
_HOST = re.compile(r"(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MODEL = re.compile(r"/v[12]/models/([^/:]+)")
_PLACES = ("--features", "--exposures", "--model", "--predictors")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MOST_S = 7 * 86_400
LEAST_S = 60
"""A training that may not go on for longer trains nothing."""


def problems(world: World) -> Iterator[str]:
    """What would be seen by users, or by no one, first."""
    rankers = {m["metadata"]["name"]: m for m in world.of("InferenceService")}
    for manifest in world.manifests:
        name = (manifest["metadata"].get("labels") or {}).get(DEPLOYMENT)
        if name is not None and name not in rankers:
            yield f"{title_of(manifest)}: is of the deployment {name}, which is not there"
    deadline = 0.0
    for manifest in rankers.values():
        predictor = (manifest.get("spec") or {}).get("predictor") or {}
        for container in predictor.get("containers") or ():
            words = [str(word) for word in container.get("args") or ()]
            said = dict(itertools.pairwise(words))
            deadline = max(deadline, _number(said.get("--deadline")))
            if "timeout" in predictor and _number(predictor["timeout"]) < deadline:
                yield f"{title_of(manifest)}: requests end after {predictor['timeout']} s, and may take {deadline:g}"
            ready = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("path")
            asked = f"/v2/models/{manifest['metadata']['name']}/ready"
            if ready is not None and ready != asked:
                yield f"{title_of(manifest)}: readinessProbe asks {ready}, not {asked}"
            if "timeout" not in predictor:
                yield f"{title_of(manifest)}: timeout is not said"
            elif _number(predictor["timeout"]) > 30:
                yield f"{title_of(manifest)}: requests may take {predictor['timeout']} s"
            for option in _PLACES:
                place = said.get(option, "/")
                if not place.startswith(("/", "s3://")):
                    yield f"{title_of(manifest)}: {option} {place} is neither s3:// nor a whole path"
    models = {str((m["metadata"].get("annotations") or {}).get("hemix/model-version")) for m in rankers.values()}  # fmt: skip
    for manifest in world.of("HTTPRoute"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _leads(manifest, world))
        found = _route(manifest, {*rankers, *models}, deadline)
        yield from (f"{title_of(manifest)}: {problem}" for problem in found)
    for manifest in world.of("ScaledObject"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _scaler(manifest))
    for manifest in world.of("TrainJob"):
        spec = manifest.get("spec") or {}
        if spec.get("suspend"):
            yield f"{title_of(manifest)}: is suspended, and no one resumes it"
        if not LEAST_S <= _number(spec.get("activeDeadlineSeconds")) <= MOST_S:
            yield f"{title_of(manifest)}: may go on for {spec.get('activeDeadlineSeconds')} s"
        yield from (f"{title_of(manifest)}: {problem}" for problem in _training(spec))
    for manifest in world.of("TrainingRuntime"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _runtime(manifest))


def _training(spec: Manifest) -> Iterator[str]:
    """How many nodes, of what size: said here, not left to the runtime of every training."""
    trainer = spec.get("trainer") or {}
    for key in ("image", "command", "args", "numNodes", "numProcPerNode", "resourcesPerNode"):
        if not trainer.get(key):
            yield f"spec.trainer.{key} is not said"
    resources = trainer.get("resourcesPerNode") or {}
    for side in ("requests", "limits"):
        for name in ("cpu", "memory"):
            if side == "requests" and name not in (resources.get(side) or {}):
                yield f"spec.trainer.resourcesPerNode.{side}: no {name}"
    devices = _number((resources.get("limits") or {}).get("nvidia.com/gpu"))
    processes = trainer.get("numProcPerNode")
    if isinstance(processes, int) and processes > max(devices, 1):
        yield f"{processes} processes share {devices:g} GPUs of a node"
    if isinstance(processes, int) and 0 < processes < devices:
        yield f"{processes} processes leave {devices - processes:g} GPUs of a node idle"


def _route(manifest: Manifest, known: set[str], deadline: float) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    for host in spec.get("hostnames") or ():
        if not _HOST.fullmatch(str(host)):
            yield f"{host!r} is no host's name"
    for rule in spec.get("rules") or ():
        for match in rule.get("matches") or ():
            path = str((match.get("path") or {}).get("value", ""))
            model = _MODEL.match(path)
            if model and model[1] not in known:
                yield f"{path} is a model that no one serves"
        request = str((rule.get("timeouts") or {}).get("request", ""))
        timeout = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", request)
        if timeout and float(timeout[1]) * _UNITS[timeout[2]] > 30:
            yield f"waits {request} for a ranking that no one waits for"
        if timeout and float(timeout[1]) * _UNITS[timeout[2]] < deadline:
            yield f"ends requests after {request}, and they may take {deadline:g} s"


def _leads(manifest: Manifest, world: World) -> Iterator[str]:
    """A ranker's route leads to its model by both protocols, and to events where it takes them."""
    labels = manifest["metadata"].get("labels") or {}
    name = labels.get(DEPLOYMENT)
    if labels.get("app.kubernetes.io/component") != "ranker":
        return
    paths = [
        ((m.get("path") or {}).get("type", "PathPrefix"), str((m.get("path") or {}).get("value", "/")))
        for rule in (manifest.get("spec") or {}).get("rules") or ()
        for m in rule.get("matches") or [{}]
    ]  # fmt: skip
    wanted = [f"/v1/models/{name}:predict", f"/v1/models/{name}", f"/v2/models/{name}/infer"]
    takes = "--events" in str([pod.spec.get("containers") for pod in world.pods])
    for path in (*wanted, *(("/v1/events",) if takes else ())):
        if not any(
            path == value or (kind == "PathPrefix" and path.startswith(value.rstrip("/") + "/"))
            for kind, value in paths
        ):
            yield f"does not lead {path} anywhere"


def _scaler(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    fallback = (spec.get("fallback") or {}).get("replicas")
    if fallback is not None and fallback < spec.get("minReplicaCount", 1):
        yield f"without figures it goes to {fallback} pods, below its least"
    for trigger in spec.get("triggers") or ():
        if trigger.get("metricType") == "Utilization":
            value = _number((trigger.get("metadata") or {}).get("value"))
            if not 0 < value <= 100:
                yield f"a utilisation of {value:g} % is never met"


def _runtime(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    framework = (manifest["metadata"].get("labels") or {}).get("trainer.kubeflow.org/framework")
    policy = spec.get("mlPolicy") or {}
    if framework is not None and framework not in policy:
        yield f"is of the framework {framework}, and its mlPolicy is not"
    inner = ((spec.get("template") or {}).get("spec") or {}).get("failurePolicy") or {}
    if inner.get("maxRestarts", 0) > 10:
        yield f"starts again {inner['maxRestarts']} times: a fault holds its GPUs for days"
    if inner.get("maxRestarts", 0) < 0:
        yield f"maxRestarts {inner['maxRestarts']}"


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0
