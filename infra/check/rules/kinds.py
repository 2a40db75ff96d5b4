"""Core kinds that are not networking: workloads, budgets, claims, quotas, roles, namespaces, config."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from hemix.infra.check.rules.values import (
    KEY,
    LABEL,
    QUALIFIED,
    SUBDOMAIN,
    at_least,
    doubles,
    labels,
    one_of,
    quantity,
    selector,
    selects,
)

Manifest = dict[str, Any]
_PERCENT = re.compile(r"^(100|[0-9]{1,2})%$")
_ANY_PERCENT = re.compile(r"^[0-9]+%$")
_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_SECURITY = re.compile(r"^pod-security\.kubernetes\.io/(enforce|audit|warn)(-version)?$")
_QUOTAS = {
    "cpu", "memory", "pods", "services", "services.loadbalancers", "services.nodeports", "secrets",
    "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
    "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "ephemeral-storage",
}  # fmt: skip
_VERBS = {
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind",
    "escalate", "impersonate", "use", "approve", "sign", "reportMetrics", "terminate", "retry",
    "readArtifact", "archive", "unarchive", "enable", "disable",
}  # fmt: skip


def problems(manifest: Manifest) -> Iterator[str]:
    """What holds for the manifest's kind."""
    rule = _RULES.get(str(manifest.get("kind")))
    if rule is not None:
        yield from rule(manifest, manifest.get("spec") or {})


def _workload(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    """Selector and template agree; numbers are numbers; a strategy that can move."""
    found = spec.get("selector")
    template = (spec.get("template") or {}).get("metadata") or {}
    yield from selector("spec.selector", found)
    own = template.get("labels") or {}
    if not isinstance(found, dict) or not (
        found.get("matchLabels") or found.get("matchExpressions")
    ):
        yield "spec.selector: is missing"
    elif not selects(found, own):
        yield "spec.selector: does not match the labels of its template"
    for key in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        yield from at_least(f"spec.{key}", spec.get(key), 0)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        yield "spec.progressDeadlineSeconds: must be above minReadySeconds"
    yield from _strategy(manifest, spec)


def _strategy(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    known = {"Deployment": ("strategy", ("RollingUpdate", "Recreate"))}
    key, kinds = known.get(manifest["kind"], ("updateStrategy", ("RollingUpdate", "OnDelete")))
    strategy = spec.get(key) or {}
    yield from one_of(f"spec.{key}.type", strategy.get("type"), kinds)
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        return
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        yield f"spec.{key}: rollingUpdate with type {strategy.get('type')}"
    for name in ("maxSurge", "maxUnavailable"):
        yield from _portion(f"spec.{key}.rollingUpdate.{name}", rolling.get(name))
    if all(rolling.get(name) in (0, "0%") for name in ("maxSurge", "maxUnavailable")):
        yield f"spec.{key}.rollingUpdate: neither a pod more nor one fewer: nothing can move"
    if manifest["kind"] == "StatefulSet":
        yield from at_least(f"spec.{key}.rollingUpdate.partition", rolling.get("partition"), 0)


def _portion(where: str, value: Any) -> Iterator[str]:
    """A number, or a percentage."""
    text = isinstance(value, str)
    if text and not _ANY_PERCENT.match(value):
        yield f"{where}: {value!r} is neither a number nor a percentage"
    if not text:
        yield from at_least(where, value, 0)


def _stateful(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    yield from _workload(manifest, spec)
    yield from one_of(
        "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel")
    )
    if not spec.get("serviceName"):
        yield "spec.serviceName: is missing"
    templates = spec.get("volumeClaimTemplates") or ()
    names = [(t.get("metadata") or {}).get("name") for t in templates]
    yield from doubles("spec.volumeClaimTemplates", "the name", names)
    for name, template in zip(names, templates, strict=True):
        yield from _claim(template, template.get("spec") or {}, f"volumeClaimTemplates {name}.")
    pod = (spec.get("template") or {}).get("spec") or {}
    mounted = {m["name"] for c in pod.get("containers") or () for m in c.get("volumeMounts") or ()}
    for name in set(names) - mounted:
        yield f"spec.volumeClaimTemplates: no container mounts {name}"


def _job(_: Manifest, spec: Manifest) -> Iterator[str]:
    for key in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"):
        yield from at_least(f"spec.{key}", spec.get(key), 0)


def _budget(_: Manifest, spec: Manifest) -> Iterator[str]:
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    if low is not None and high is not None:
        yield "spec: minAvailable and maxUnavailable exclude each other"
    if low is None and high is None:
        yield "spec: neither minAvailable nor maxUnavailable"
    for key, value in (("minAvailable", low), ("maxUnavailable", high)):
        if isinstance(value, str) and not _PERCENT.match(value):
            yield f"spec.{key}: {value!r} is not 0 to 100 %"
        if not isinstance(value, str):
            yield from at_least(f"spec.{key}", value, 0)
    if high in (0, "0%") or low == "100%":
        told = "minAvailable: 100%" if low == "100%" else f"maxUnavailable: {high}"
        yield f"spec: no pod may ever go ({told}): a node can never be drained"
    yield from one_of(
        "spec.unhealthyPodEvictionPolicy",
        spec.get("unhealthyPodEvictionPolicy"),
        ("IfHealthyBudget", "AlwaysAllow"),
    )
    yield from selector("spec.selector", spec.get("selector"))
    if not spec.get("selector"):
        yield "spec.selector: is missing"


def _claim(_: Manifest, spec: Manifest, at: str = "spec.") -> Iterator[str]:
    modes = spec.get("accessModes") or ()
    if not modes:
        yield f"{at}accessModes: is empty"
    for mode in modes:
        yield from one_of(f"{at}accessModes", mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield f"{at}accessModes: ReadWriteOncePod stands alone"
    yield from one_of(f"{at}volumeMode", spec.get("volumeMode"), ("Filesystem", "Block"))
    size = quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage"))
    if size is None or size <= 0:
        yield f"{at}resources.requests.storage: no size"
    limit = ((spec.get("resources") or {}).get("limits") or {}).get("storage")
    if limit is not None and size is not None and (quantity(limit) or 0) < size:
        yield f"{at}resources.limits.storage: below the request"
    name = spec.get("storageClassName")
    if name not in (None, "") and not SUBDOMAIN.match(str(name)):
        yield f"{at}storageClassName: {name!r} is no name"


def _quota(_: Manifest, spec: Manifest) -> Iterator[str]:
    hard = spec.get("hard") or {}
    if not hard:
        yield "spec.hard: limits nothing"
    for name, value in hard.items():
        amount = quantity(value)
        if amount is None or amount < 0:
            yield f"spec.hard.{name}: {value!r} is no amount"
        elif ("cpu" not in name and "memory" not in name and "storage" not in name) and amount != int(amount):  # fmt: skip
            yield f"spec.hard.{name}: {value!r} is no whole number"
        extended = name.startswith(("requests.", "count/")) and "/" in name
        if (
            name not in _QUOTAS
            and not extended
            and not name.endswith("storageclass.storage.k8s.io")
        ):
            yield f"spec.hard.{name}: Kubernetes knows no such resource"
    for what in ("cpu", "memory", "ephemeral-storage"):
        low, high = quantity(hard.get(f"requests.{what}")), quantity(hard.get(f"limits.{what}"))
        if low is not None and high is not None and low > high:
            yield f"spec.hard.requests.{what}: above limits.{what}"


def _limits(_: Manifest, spec: Manifest) -> Iterator[str]:
    sides = ("min", "defaultRequest", "default", "max")
    limits = spec.get("limits") or ()
    if not limits:
        yield "spec.limits: limits nothing"
    yield from doubles("spec.limits", "the type", [limit.get("type") for limit in limits])
    for limit in limits:
        kind = limit.get("type")
        at = f"spec.limits {kind}"
        if kind not in ("Container", "Pod", "PersistentVolumeClaim"):
            yield f"{at}: is none of Container, Pod, PersistentVolumeClaim"
        if kind == "Pod" and (limit.get("default") or limit.get("defaultRequest")):
            yield f"{at}: has no defaults"
        if kind == "PersistentVolumeClaim" and not (limit.get("max") or limit.get("min")):
            yield f"{at}: needs min or max"
        names = {name for side in sides for name in limit.get(side) or {}}
        for name in sorted(names):
            known = [(side, quantity((limit.get(side) or {}).get(name))) for side in sides]
            given = [(side, value) for side, value in known if name in (limit.get(side) or {})]
            for side, value in given:
                if value is None or value < 0:
                    yield f"{at}.{side}.{name}: {limit[side][name]!r} is no amount"
            amount = [(side, value) for side, value in given if value is not None]
            for (low, least), (high, most) in itertools.pairwise(amount):
                if least > most:
                    yield f"{at}.{name}: {low} is above {high}"
            if kind == "Container" and name not in ("cpu", "memory", "ephemeral-storage"):
                yield f"{at}: Kubernetes knows no resource {name} of containers"
            if kind == "PersistentVolumeClaim" and name != "storage":
                yield f"{at}: claims have storage, no {name}"
        for name, ratio in (limit.get("maxLimitRequestRatio") or {}).items():
            if (quantity(ratio) or 0) < 1:
                yield f"{at}.maxLimitRequestRatio.{name}: below 1"


def _role(manifest: Manifest, _: Manifest) -> Iterator[str]:
    for number, rule in enumerate(manifest.get("rules") or ()):
        at = f"rules[{number}]"
        if not rule.get("verbs"):
            yield f"{at}: has no verbs"
        for verb in rule.get("verbs") or ():
            if verb not in _VERBS and verb != "*":
                yield f"{at}: {verb!r} is no verb"
        if rule.get("nonResourceURLs"):
            if manifest["kind"] == "Role" or rule.get("resources"):
                yield f"{at}: nonResourceURLs stand alone, in a ClusterRole"
            continue
        if "apiGroups" not in rule or not rule["apiGroups"]:
            yield f"{at}: has no apiGroups"
        if not rule.get("resources"):
            yield f"{at}: has no resources"
        for resource in rule.get("resources") or ():
            if resource != resource.lower():
                yield f"{at}: {resource} is no resource: plural, small letters"
        if rule.get("resourceNames") and {"create", "deletecollection"} & set(
            rule.get("verbs") or ()
        ):
            yield f"{at}: create cannot be held to a name"


def _binding(manifest: Manifest, _: Manifest) -> Iterator[str]:
    role = manifest.get("roleRef") or {}
    kinds = ("Role", "ClusterRole") if manifest["kind"] == "RoleBinding" else ("ClusterRole",)
    if role.get("apiGroup") != "rbac.authorization.k8s.io":
        yield f"roleRef.apiGroup: {role.get('apiGroup')!r}"
    if role.get("kind") not in kinds:
        yield f"roleRef.kind: {role.get('kind')!r} is not one of {', '.join(kinds)}"
    if not manifest.get("subjects"):
        yield "subjects: nobody"
    for number, subject in enumerate(manifest.get("subjects") or ()):
        at = f"subjects[{number}]"
        kind, group = subject.get("kind"), subject.get("apiGroup", "")
        if kind not in ("ServiceAccount", "User", "Group"):
            yield f"{at}: kind {kind!r}"
        if kind == "ServiceAccount":
            if group:
                yield f'{at}: a ServiceAccount has apiGroup "", not {group!r}'
            if not subject.get("namespace"):
                yield f"{at}: a ServiceAccount needs its namespace"
        elif group != "rbac.authorization.k8s.io":
            yield f"{at}: apiGroup {group!r}"


def _namespace(manifest: Manifest, _: Manifest) -> Iterator[str]:
    if not LABEL.match(str(manifest["metadata"].get("name"))):
        yield f"metadata.name: {manifest['metadata'].get('name')!r} is no namespace's name"
    for key, value in (manifest["metadata"].get("labels") or {}).items():
        match = _SECURITY.match(key)
        if match is None:
            if "pod-security" in key:
                yield f"metadata.labels: {key} is none of Pod Security's labels"
        elif match[2]:
            if not re.fullmatch(r"latest|v1\.(0|[1-9][0-9]*)", str(value)):
                yield f"metadata.labels.{key}: {value!r} is no version"
            elif value != "latest" and int(str(value).partition(".")[2]) < 25:
                yield f"metadata.labels.{key}: {value} is from before Pod Security: v1.31"
        else:
            yield from one_of(
                f"metadata.labels.{key}", value, ("privileged", "baseline", "restricted")
            )


def _config(manifest: Manifest, _: Manifest) -> Iterator[str]:
    data, binary = manifest.get("data") or {}, manifest.get("binaryData") or {}
    for key in (*data, *binary):
        if not KEY.match(str(key)):
            yield f"data: {key!r} is no key"
    for key in set(data) & set(binary):
        yield f"data: {key} stands in data and binaryData"
    if sum(len(str(value).encode()) for value in (*data.values(), *binary.values())) > 1024 * 1024:
        yield "data: more than 1 MiB"


def _account(manifest: Manifest, _: Manifest) -> Iterator[str]:
    for key in ("secrets", "imagePullSecrets"):
        for reference in manifest.get(key) or ():
            if not SUBDOMAIN.match(str(reference.get("name", ""))):
                yield f"{key}: {reference.get('name')!r} is no secret's name"


Rule = Callable[[Manifest, Manifest], Iterator[str]]
_RULES: dict[str, Rule] = {
    "Deployment": _workload,
    "DaemonSet": _workload,
    "ReplicaSet": _workload,
    "StatefulSet": _stateful,
    "Job": _job,
    "PodDisruptionBudget": _budget,
    "PersistentVolumeClaim": _claim,
    "ResourceQuota": _quota,
    "LimitRange": _limits,
    "Role": _role,
    "ClusterRole": _role,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "Namespace": _namespace,
    "ConfigMap": _config,
    "ServiceAccount": _account,
}

_LABEL_NAMES = {"Service", "Namespace", "InferenceService", "TrainJob", "StatefulSet"}


def metadata(manifest: Manifest) -> Iterator[str]:
    """Names, labels, annotations and owners of an object."""
    found = manifest.get("metadata") or {}
    name = str(found.get("name", ""))
    if not SUBDOMAIN.match(name):  # roles may be called anything; ours are not
        yield f"metadata.name: {name!r} is no Kubernetes name"
    if manifest.get("kind") in _LABEL_NAMES and not LABEL.match(name):
        yield f"metadata.name: {name!r} must be one DNS label"
    space = found.get("namespace")
    if space is not None and not LABEL.match(str(space)):
        yield f"metadata.namespace: {space!r} is no namespace's name"
    yield from labels("metadata.labels", found.get("labels"))
    total = 0
    for key, value in (found.get("annotations") or {}).items():
        total += len(key) + len(str(value))
        if not QUALIFIED.match(key):
            yield f"metadata.annotations: {key!r} is no annotation's name"
        if not isinstance(value, str):
            yield f"metadata.annotations.{key}: {value!r} is no text"
    if total > 256 * 1024:
        yield "metadata.annotations: more than 256 KiB"
    for owner in found.get("ownerReferences") or ():
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield f"metadata.ownerReferences: {key} is missing"
