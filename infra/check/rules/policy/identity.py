"""Who an object is: its namespace, the labels by which we find it again, names that must agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
_OF_THE_CLUSTER = {
    "Namespace", "ClusterRole", "ClusterRoleBinding", "ClusterStorageContainer",
    "ClusterServingRuntime", "ClusterTrainingRuntime", "PriorityClass", "StorageClass",
}  # fmt: skip
_OF_RUNS = ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "NetworkPolicy", "PodDefault")
"""What the namespace of runs needs, when it is another one."""
_DEPLOYED = ("InferenceService", "ServingRuntime", "HTTPRoute", "ScaledObject")
"""Kinds that only ``hemix deploy`` makes."""
_NAME, _PART, _COMPONENT, _BY = (
    f"app.kubernetes.io/{key}" for key in ("name", "part-of", "component", "managed-by")
)
_DEPLOYMENT, _VERSION = "hemix/deployment", "hemix/version"
_ROLES = ("ranker", "predictor")
_WATCHED = ("ServiceMonitor", "PodMonitor", "PrometheusRule")


def problems(world: World) -> Iterator[str]:
    """Objects that would lie elsewhere, or that we or others would not find again."""
    for manifest in world.manifests:
        space = manifest["metadata"].get("namespace")
        if space not in (None, world.home) and manifest["kind"] not in _OF_RUNS:
            yield f"{title_of(manifest)}: lies in {space}, and not in {world.home}"
        for problem in _one(manifest):
            yield f"{title_of(manifest)}: {problem}"
    yield from _releases(world)
    yield from _pulls(world)
    yield from _places(world)


def _one(manifest: Manifest) -> Iterator[str]:
    kind, metadata = manifest["kind"], manifest["metadata"]
    labels = metadata.get("labels") or {}
    # The train step says the namespace of a TrainJob when it makes it.
    if kind not in _OF_THE_CLUSTER and kind != "TrainJob" and not metadata.get("namespace"):
        yield "names no namespace: it would lie where kubectl stands"
    if kind in _OF_THE_CLUSTER and metadata.get("namespace"):
        yield "is of the cluster, and names a namespace"
    if kind not in _OF_THE_CLUSTER and labels.get(_PART) != "hemix":
        yield f"label {_PART} is {labels.get(_PART)!r}, not 'hemix'"
    meant = ((manifest.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    ours = kind in _DEPLOYED or _DEPLOYMENT in labels or labels.get(_BY) == "hemix"
    ours |= kind == "PodDisruptionBudget" and "serving.kserve.io/inferenceservice" in meant
    ours |= kind == "ConfigMap" and "predictors.yaml" in (manifest.get("data") or {})
    if ours and kind != "TrainJob":
        yield from _deployed(kind, metadata, labels, meant)
    if kind == "TrainJob":
        for key in (_NAME, _BY):
            if key not in labels:
                yield f"label {key} is missing: cleaning does not find it"
        if labels.get(_BY) != "hemix":
            yield f"label {_BY} is {labels.get(_BY)!r}, not 'hemix': cleaning does not find it"
        for key in ("hemix/work", "hemix/attempt"):
            if not (metadata.get("annotations") or {}).get(key):
                yield f"annotation {key} is missing: a second attempt does not know it again"


def _deployed(kind: str, metadata: Manifest, labels: Manifest, meant: Manifest) -> Iterator[str]:
    """By these labels ``hemix deploy`` prunes, and policies and people look."""
    for key, value in ((_NAME, "hemix"), (_BY, "hemix")):
        if labels.get(key) != value:
            yield f"label {key} is {labels.get(key)!r}, not {value!r}"
    if not labels.get(_DEPLOYMENT):
        yield f"label {_DEPLOYMENT} is missing: hemix deploy would not know it again"
    if labels.get(_COMPONENT) not in _ROLES:
        yield f"label {_COMPONENT} is {labels.get(_COMPONENT)!r}, neither ranker nor predictor"
    name = str(metadata.get("name"))
    if kind in ("InferenceService", "ScaledObject", "PodDisruptionBudget"):
        version = labels.get(_VERSION)
        of_version = labels.get(_COMPONENT) == "predictor"
        if version is not None and not of_version:
            yield f"label {_COMPONENT} is {labels.get(_COMPONENT)!r}, and it serves a version"
        if of_version and version != name:
            yield f"label {_VERSION} is {version!r}, and it is called {name}"
    if kind == "PodDisruptionBudget" and meant:
        service = meant.get("serving.kserve.io/inferenceservice")
        if service is not None and service != name:
            yield f"is called {name} and keeps the pods of {service}"


def _releases(world: World) -> Iterator[str]:
    """One Prometheus loads all monitors and rules, by one label."""
    found = {
        (m["metadata"].get("labels") or {}).get("release") for k in _WATCHED for m in world.of(k)
    }
    if len(found) > 1:
        yield f"monitors and rules carry several releases ({', '.join(sorted(map(str, found)))}): one Prometheus loads one of them"


def _pulls(world: World) -> Iterator[str]:
    """All accounts pull from the one registry, with the one secret."""
    accounts = list(world.of("ServiceAccount"))
    secrets = {
        m["metadata"]["name"]: sorted({str(s.get("name")) for s in m.get("imagePullSecrets") or ()})
        for m in accounts
    }
    known = sorted({name for names in secrets.values() for name in names})
    for account, names in secrets.items():
        if names != known:
            yield f"ServiceAccount {account}: pulls images with {names or 'no secret'}, the others with {known}"


def _places(world: World) -> Iterator[str]:
    """All versions of a deployment come from one registry, and lie there where versions lie."""
    roots: dict[str, set[str]] = {}
    for manifest in world.of("InferenceService"):
        labels = manifest["metadata"].get("labels") or {}
        model = ((manifest.get("spec") or {}).get("predictor") or {}).get("model") or {}
        uri = str(model.get("storageUri") or "")
        if uri:
            root, _, version = uri.rpartition("/")
            roots.setdefault(str(labels.get(_DEPLOYMENT)), set()).add(root)
            if version and not root.endswith("/versions"):
                yield f"{title_of(manifest)}: {uri} is no place of a registry's version (.../versions/{version})"
    for deployment, found in roots.items():
        if len(found) > 1:
            yield f"deployment {deployment}: versions of several registries: {', '.join(sorted(found))}"
