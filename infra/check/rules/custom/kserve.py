"""KServe: rules of its webhooks and controllers, and what they make of an InferenceService.

Sources: kserve v0.20 ``pkg/apis/serving/v1beta1/inference_service_validation.go``,
``pkg/webhook/admission/pod/storage_initializer_injector.go``, ``pkg/validation`` (blocked variables),
``pkg/controller/v1beta1/inferenceservice/reconcilers``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hemix.errors import HemixError
from hemix.infra.check.rules import security
from hemix.infra.check.rules.podspec import Template
from hemix.infra.check.rules.values import doubles
from hemix.serving.kubernetes.manifests import rules

Manifest = dict[str, Any]
GROUP = "serving.kserve.io"
RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
CONTAINER = "kserve-container"
INITIALIZER = "storage-initializer"
_SCHEMES = (
    "s3://",
    "gs://",
    "pvc://",
    "https://",
    "http://",
    "hdfs://",
    "webhdfs://",
    "oci://",
    "hf://",
)
_BLOCKED = {"PYTHONPATH"}
_DRAWN = {
    "batcher", "canaryTrafficPercent", "containerConcurrency", "deploymentStrategy", "labels",
    "annotations", "logger", "maxReplicas", "minReplicas", "model", "name", "scaleMetric",
    "scaleMetricType", "scaleTarget", "storageContainerName", "timeout", "workerSpec", "autoScaling",
}  # fmt: skip
"""Fields of a predictor that are KServe's own; the others are a pod's."""


def problems(manifest: Manifest) -> Iterator[str]:
    """What holds for one object of KServe by itself."""
    kind = manifest.get("kind")
    if kind == "InferenceService":
        try:
            rules.check(manifest)
        except HemixError as error:
            yield error.message
        except (KeyError, TypeError, AttributeError) as error:
            yield f"spec: is not an InferenceService's ({error!r})"
            return
        for where, predictor in predictors(manifest):
            yield from _predictor(where, predictor)
            yield from _strategy(where, predictor)
    elif kind in RUNTIMES:
        yield from _runtime(manifest.get("spec") or {})
    elif kind == "ClusterStorageContainer":
        yield from _storage_container(manifest.get("spec") or {})


def predictors(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """The stable predictor and those on trial, each with its place."""
    spec = manifest.get("spec") or {}
    if isinstance(spec.get("predictor"), dict):
        yield "spec.predictor", spec["predictor"]
    for number, canary in enumerate(spec.get("canary") or ()):
        if isinstance(canary.get("predictor"), dict):
            yield f"spec.canary[{number}].predictor", canary["predictor"]


def _predictor(where: str, predictor: Manifest) -> Iterator[str]:
    for container in (*(predictor.get("containers") or ()), predictor.get("model") or {}):
        for variable in container.get("env") or ():
            if variable.get("name") in _BLOCKED:
                yield f"{where}: the variable {variable['name']} is not allowed"
    containers = predictor.get("containers") or ()
    if containers and CONTAINER not in [c.get("name") for c in containers]:
        yield f"{where}.containers: none is called {CONTAINER}"
    for key in ("minReplicas", "maxReplicas"):
        value = predictor.get(key)
        if value is not None and value < 0:
            yield f"{where}.{key}: {value} is below 0"
    if predictor.get("minReplicas") is None:
        yield f"{where}.minReplicas: is not said: one pod serves everyone"
    if predictor.get("scaleMetric") not in (None, "cpu", "memory"):
        yield f"{where}.scaleMetric: {predictor['scaleMetric']!r}: without Knative there is cpu and memory"
    if not 1 <= predictor.get("scaleTarget", 80) <= 100:
        yield f"{where}.scaleTarget: {predictor['scaleTarget']} % is never met"
    if predictor.get("timeout", 1) < 0 or predictor.get("containerConcurrency", 0) < 0:
        yield f"{where}: timeout and containerConcurrency are not below 0"
    for volume in predictor.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                yield f"{where}.volumes: {volume.get('name')} hands out a service account's token"
    model = predictor.get("model")
    if model is None:
        return
    uri = model.get("storageUri")
    if uri is not None and not str(uri).startswith(_SCHEMES) and not _azure(str(uri)):
        yield f"{where}.model.storageUri: KServe fetches no {uri}"
    if uri is not None and not re.match(r"^[a-z0-9]+://[^/]+/.+", str(uri)):
        yield f"{where}.model.storageUri: {uri} has no place behind its bucket"
    if not (model.get("modelFormat") or {}).get("name"):
        yield f"{where}.model.modelFormat: has no name"
    if not model.get("protocolVersion"):
        yield f"{where}.model.protocolVersion: is missing: KServe takes v1, which no runtime of ours speaks"
    if not model.get("runtime"):
        yield f"{where}.model.runtime: is missing: none of ours chooses itself"


def _strategy(where: str, predictor: Manifest) -> Iterator[str]:
    strategy = predictor.get("deploymentStrategy")
    if strategy is None:
        return
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("RollingUpdate", "Recreate"):
        yield f"{where}.deploymentStrategy.type: {kind!r} is not RollingUpdate or Recreate"
    if rolling is not None and kind != "RollingUpdate":
        yield f"{where}.deploymentStrategy: rollingUpdate with type {kind}"
    for key, value in (rolling or {}).items():
        if not re.fullmatch(r"\d+%?", str(value)) or (isinstance(value, str) and "%" not in value):
            yield f"{where}.deploymentStrategy.rollingUpdate.{key}: {value!r} is neither a number nor a percentage"
    if rolling and all(rolling.get(k) in (0, "0%") for k in ("maxSurge", "maxUnavailable")):
        yield f"{where}.deploymentStrategy: neither a pod more nor one fewer: nothing can move"


def _azure(uri: str) -> bool:
    return bool(re.match(r"https://(.+?)\.blob\.core\.windows\.net/.+", uri))


def _runtime(spec: Manifest) -> Iterator[str]:
    containers = spec.get("containers") or ()
    if CONTAINER not in [c.get("name") for c in containers]:
        yield f"spec.containers: none is called {CONTAINER}"
    for container in containers:
        for variable in container.get("env") or ():
            if variable.get("name") in _BLOCKED:
                yield f"spec.containers: the variable {variable['name']} is not allowed"
    formats = spec.get("supportedModelFormats") or ()
    if not formats:
        yield "spec.supportedModelFormats: is empty"
    names = [(f.get("name"), f.get("version")) for f in formats]
    yield from doubles("spec.supportedModelFormats", "format", names)
    priorities = [f.get("priority") for f in formats if f.get("autoSelect")]
    for priority in priorities:
        if priority is not None and priority < 1:
            yield f"spec.supportedModelFormats: priority {priority} is below 1"


def _storage_container(spec: Manifest) -> Iterator[str]:
    known = {"container", "supportedUriFormats", "workloadType", "supportsMultiModelDownload"}
    for key in set(spec) - known:
        yield f"spec.{key}: KServe knows no such field"
    container = spec.get("container") or {}
    if container.get("name") != INITIALIZER:
        yield f"spec.container.name: must be {INITIALIZER}, or KServe adds a second one"
    forms: list[Manifest] = spec.get("supportedUriFormats") or [{}]
    for form in forms:
        if not (form.get("prefix") or form.get("regex")):
            yield "spec.supportedUriFormats: neither prefix nor regex"
    if spec.get("workloadType", "initContainer") not in ("initContainer", "localModelDownloadJob"):
        yield f"spec.workloadType: {spec['workloadType']!r}"
    pod = {"initContainers": [container], "containers": []}
    # KServe gives the pod the predictor's own context: user and seccomp profile come from there.
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    yield from security.problems("spec", {**pod, "securityContext": context}, {})


# ---- together -----------------------------------------------------------------------------------


def name_of(manifest: Manifest, predictor: Manifest) -> str:
    """Of the Deployment and the Service that KServe makes of a predictor."""
    name = manifest["metadata"]["name"]
    stable = predictor is (manifest.get("spec") or {}).get("predictor")
    return f"{name}-predictor" if stable else f"{name}-{predictor.get('name', '')}-predictor"


def labels_of(manifest: Manifest, predictor: Manifest) -> dict[str, str]:
    """Labels of its pods."""
    name = manifest["metadata"]["name"]
    return {
        **(manifest["metadata"].get("labels") or {}),
        **(predictor.get("labels") or {}),
        "serving.kserve.io/inferenceservice": name,
        "app": f"isvc.{name_of(manifest, predictor)}",
        "component": "predictor",
    }


def together(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Runtime, format, initializer: what an InferenceService names and KServe looks up."""
    for where, predictor in predictors(manifest):
        model = predictor.get("model")
        if model is None:
            continue
        runtime = runtime_of(manifest, predictor, manifests)
        if runtime is None:
            yield f"{where}.model.runtime: there is no runtime {model.get('runtime')}"
        else:
            yield from _supports(where, model, runtime)
        uri = str(model.get("storageUri") or "")
        name = predictor.get("storageContainerName")
        container = _named(manifests, "ClusterStorageContainer", name) if name else None
        if name and container is None:
            yield f"{where}.storageContainerName: there is no ClusterStorageContainer {name}"
        if not name and uri and not uri.startswith("pvc://"):
            yield (
                f"{where}: KServe's own storage initializer has no security context, which "
                "`restricted` refuses: name one (storageContainerName)"
            )
        if container is not None and uri and not uri.startswith("pvc://"):
            forms = container["spec"].get("supportedUriFormats") or ()
            if not any(
                uri.startswith(f.get("prefix", "\0")) or re.match(f.get("regex", r"\0"), uri)
                for f in forms
            ):
                yield f"{where}.model.storageUri: the ClusterStorageContainer {name} does not fetch {uri}: its supportedUriFormats have {', '.join(str(f.get('prefix', f.get('regex'))) for f in forms) or 'nothing'}"


def _supports(where: str, model: Manifest, runtime: Manifest) -> Iterator[str]:
    spec = runtime.get("spec") or {}
    title = f"runtime {runtime['metadata']['name']}"
    wanted = model.get("modelFormat") or {}
    fits = [
        f
        for f in spec.get("supportedModelFormats") or ()
        if f.get("name") == wanted.get("name")
        and (wanted.get("version") is None or f.get("version") == wanted["version"])
    ]
    if not fits:
        yield f"{where}.model.modelFormat: {title} does not serve {wanted}"
    protocol = model.get("protocolVersion")
    if protocol is not None and protocol not in (spec.get("protocolVersions") or ()):
        yield f"{where}.model.protocolVersion: {title} does not speak {protocol}"
    if spec.get("disabled"):
        yield f"{where}.model.runtime: {title} is disabled"
    if spec.get("multiModel"):
        yield f"{where}.model.runtime: {title} is for many models"


def runtime_of(
    manifest: Manifest, predictor: Manifest, manifests: Sequence[Manifest]
) -> Manifest | None:
    """The runtime that a predictor names: its namespace's own first."""
    name = (predictor.get("model") or {}).get("runtime")
    space = manifest["metadata"].get("namespace")
    for found in manifests:
        metadata = found["metadata"]
        near = (metadata["name"], metadata.get("namespace")) == (name, space)
        if found["kind"] == "ServingRuntime" and near:
            return found
    return _named(manifests, "ClusterServingRuntime", name)


def pod_of(
    manifest: Manifest, where: str, predictor: Manifest, manifests: Sequence[Manifest]
) -> Template:
    """The pods that KServe makes of a predictor: its runtime's container, and the initializer."""
    pod = {key: copy.deepcopy(value) for key, value in predictor.items() if key not in _DRAWN}
    model = predictor.get("model")
    annotations = dict(manifest["metadata"].get("annotations") or {})
    if model is not None:
        runtime = runtime_of(manifest, predictor, manifests) or {"spec": {}}
        spec = runtime.get("spec") or {}
        containers = copy.deepcopy(spec.get("containers") or [])
        for container in containers:
            if container.get("name") == CONTAINER:
                own = (
                    "resources",
                    "livenessProbe",
                    "readinessProbe",
                    "startupProbe",
                    "image",
                    "args",
                )
                container.update({k: copy.deepcopy(model[k]) for k in own if model.get(k)})
                for key in ("env", "volumeMounts", "ports"):
                    both = [*(container.get(key) or ()), *(model.get(key) or ())]
                    container[key] = copy.deepcopy(both)
        pod["containers"] = containers
        pod["volumes"] = [*(pod.get("volumes") or ()), *copy.deepcopy(spec.get("volumes") or [])]
        uri = str(model.get("storageUri") or "")
        found = _named(manifests, "ClusterStorageContainer", predictor.get("storageContainerName"))
        if found is not None and uri and not uri.startswith("pvc://"):
            pod["initContainers"] = [copy.deepcopy(found["spec"]["container"])]
    return Template(where, pod, labels_of(manifest, predictor), annotations)


def _named(manifests: Sequence[Manifest], kind: str, name: Any) -> Manifest | None:
    return next(
        (m for m in manifests if m["kind"] == kind and m["metadata"].get("name") == name), None
    )


def partial(manifest: Manifest) -> Iterator[Template]:
    """Parts of pods that stand in one object alone, to be looked at by themselves."""
    if manifest.get("kind") == "InferenceService":
        for where, predictor in predictors(manifest):
            pod = {k: v for k, v in predictor.items() if k not in _DRAWN}
            if predictor.get("model") is not None:
                extra = {k: v for k, v in predictor["model"].items() if k in _MODEL_PARTS}
                pod = {**pod, "containers": [{**extra, "name": CONTAINER}]}
                yield Template(
                    where, pod, predictor.get("labels") or {}, whole=False, secured=False
                )
            else:
                yield Template(where, pod, predictor.get("labels") or {})
    elif manifest.get("kind") in RUNTIMES:
        yield Template("spec", _pod_part(manifest.get("spec") or {}), {}, whole=False)


_MODEL_PARTS = (
    "env", "resources", "livenessProbe", "readinessProbe", "startupProbe", "imagePullPolicy",
    "securityContext", "lifecycle", "volumeMounts", "ports", "terminationMessagePolicy",
)  # fmt: skip


def _pod_part(spec: Manifest) -> Manifest:
    return {
        key: spec[key]
        for key in ("containers", "volumes", "nodeSelector", "tolerations", "imagePullSecrets")
        if key in spec
    }
