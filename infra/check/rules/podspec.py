"""Pods: volumes and mounts, containers together, scheduling, where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hemix.infra.check.rules import containers, security
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
)

_KINDS = security.VOLUMES | {
    "hostPath", "nfs", "iscsi", "cephfs", "rbd", "gcePersistentDisk", "awsElasticBlockStore",
    "azureDisk", "azureFile", "fc", "flexVolume", "flocker", "gitRepo", "glusterfs", "image",
    "photonPersistentDisk", "portworxVolume", "quobyte", "scaleIO", "storageos", "vsphereVolume",
    "cinder",
}  # fmt: skip
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True)
class Template:
    """A pod's spec in an object, and the labels its pods get.

    ``whole``: no controller completes it. ``secured``: its containers say what they may do.
    ``restarts``: the restart policies that its owner takes.
    """

    where: str
    spec: dict[str, Any] = field(repr=False)
    labels: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict)
    whole: bool = True
    secured: bool = True
    restarts: tuple[str, ...] = ("Always",)


_OWNERS = {
    "Deployment": ("Always",),
    "StatefulSet": ("Always",),
    "DaemonSet": ("Always",),
    "ReplicaSet": ("Always",),
    "Job": ("OnFailure", "Never"),
}


def templates(manifest: dict[str, Any]) -> Iterator[Template]:
    """The pods that an object of a core kind makes."""
    spec = manifest.get("spec") or {}
    kind = manifest.get("kind")
    if kind == "Pod":
        yield _template("spec", manifest, ("Always", "OnFailure", "Never"))
    elif kind in _OWNERS and isinstance(spec.get("template"), dict):
        template = spec["template"]
        claims: list[dict[str, Any]] = [
            {"name": (c.get("metadata") or {}).get("name"), "ephemeral": {}}
            for c in spec.get("volumeClaimTemplates") or ()
        ]
        if claims:  # each becomes a volume of the pod
            inner = template.get("spec") or {}
            volumes = [*(inner.get("volumes") or ()), *claims]
            template = {**template, "spec": {**inner, "volumes": volumes}}
        yield _template("spec.template.spec", template, _OWNERS[str(kind)])
    elif kind == "CronJob":
        inner = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
        if isinstance(inner, dict):
            yield _template("spec.jobTemplate.spec.template.spec", inner, _OWNERS["Job"])


def _template(where: str, found: dict[str, Any], restarts: tuple[str, ...]) -> Template:
    metadata = found.get("metadata") or {}
    return Template(
        where,
        found.get("spec") or {},
        metadata.get("labels") or {},
        metadata.get("annotations") or {},
        restarts=restarts,
    )


def problems(template: Template) -> Iterator[str]:
    """What is wrong with the pods of a template, Pod Security included."""
    where, pod = template.where, template.spec
    yield from labels(f"{where} labels", template.labels)
    for key in template.annotations:
        if not QUALIFIED.match(str(key).lower() if "/" in str(key) else str(key)):
            yield f"{where}: {key!r} is no annotation's name"
    if template.whole and not pod.get("containers"):
        yield f"{where}: has no containers"
    found = security.containers_of(pod)
    yield from doubles(where, "container", [c.get("name") for _, c in found])
    for kind, container in found:
        name = f"{where} container {container.get('name')}"
        yield from containers.problems(name, container, whole=template.whole)
        if kind == "initContainers" and container.get("restartPolicy") != "Always":
            for probe in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
                if container.get(probe):
                    yield f"{name}: an init container has no {probe}"
        if template.whole and not (container.get("resources") or {}).get("requests"):
            yield f"{name}: requests no resources"
        if template.whole and not ((container.get("resources") or {}).get("limits") or {}).get(
            "memory"
        ):
            yield f"{name}: its memory has no limit"
        sleep = ((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}
        grace = pod.get("terminationGracePeriodSeconds", 30)
        if isinstance(grace, int) and sleep.get("seconds", 0) > grace:
            yield f"{name}: sleeps longer before it stops than the pod's grace of {grace} s"
        yield from _mounts(name, container, pod, template.whole)
    yield from _volumes(where, pod)
    yield from _pod(where, pod, template)
    if template.secured:
        yield from security.problems(where, pod, template.annotations)


def _mounts(
    name: str, container: dict[str, Any], pod: dict[str, Any], whole: bool
) -> Iterator[str]:
    known = {volume.get("name") for volume in pod.get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        if whole and mount.get("name") not in known:
            yield f"{name}: there is no volume {mount.get('name')}"


def _volumes(where: str, pod: dict[str, Any]) -> Iterator[str]:
    volumes = pod.get("volumes") or ()
    yield from doubles(f"{where}.volumes", "the name", [v.get("name") for v in volumes])
    for volume in volumes:
        at = f"{where}.volumes {volume.get('name')}"
        if not LABEL.match(str(volume.get("name", ""))):
            yield f"{at}: is no volume's name"
        kinds = [key for key in volume if key != "name"]
        if len(kinds) != 1:
            yield f"{at}: needs one source, has {', '.join(kinds) or 'none'}"
        for kind in kinds:
            if kind not in _KINDS:
                yield f"{at}: {kind} is no kind of volume"
        empty = volume.get("emptyDir") or {}
        yield from one_of(f"{at}.medium", empty.get("medium"), ("", "Memory"))
        if "sizeLimit" in empty:
            size = quantity(empty["sizeLimit"])
            if size is None or size <= 0:
                yield f"{at}: sizeLimit {empty['sizeLimit']!r} is no size"
        for kind, key in (("configMap", "name"), ("secret", "secretName"), ("persistentVolumeClaim", "claimName")):  # fmt: skip
            source = volume.get(kind)
            if source is None:
                continue
            if not SUBDOMAIN.match(str(source.get(key, ""))):
                yield f"{at}: {kind} without {key}"
            yield from _files(at, source)
        for source in (volume.get("projected") or {}).get("sources") or ():
            for kind, inner in source.items():
                yield from _files(f"{at}.{kind}", inner or {})
            token = source.get("serviceAccountToken")
            if token is not None:
                if not token.get("path"):
                    yield f"{at}: a token without path"
                yield from at_least(
                    f"{at}.expirationSeconds", token.get("expirationSeconds", 3600), 600
                )
        yield from _mode(at, volume.get("projected") or {})


def _files(at: str, source: dict[str, Any]) -> Iterator[str]:
    yield from _mode(at, source)
    for item in source.get("items") or ():
        path = str(item.get("path", ""))
        if not path or path.startswith("/") or ".." in path.split("/"):
            yield f"{at}: path {path!r} leads out of the volume"
        if not KEY.match(str(item.get("key", ""))) and "key" in item:
            yield f"{at}: {item['key']!r} is no key"
        yield from _mode(at, item, "mode")


def _mode(at: str, source: dict[str, Any], key: str = "defaultMode") -> Iterator[str]:
    mode = source.get(key)
    if mode is not None and not (isinstance(mode, int) and 0 <= mode <= 0o777):
        yield f"{at}: {key} {mode!r} is not in 0..0777"


def _pod(where: str, pod: dict[str, Any], template: Template) -> Iterator[str]:
    yield from one_of(f"{where}.restartPolicy", pod.get("restartPolicy"), template.restarts)
    yield from one_of(
        f"{where}.dnsPolicy",
        pod.get("dnsPolicy"),
        ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    )
    if pod.get("dnsPolicy") == "None" and not (pod.get("dnsConfig") or {}).get("nameservers"):
        yield f"{where}: dnsPolicy None without nameservers"
    if pod.get("dnsPolicy") == "Default":
        yield f"{where}: dnsPolicy Default resolves no Service"
    for key in ("terminationGracePeriodSeconds",):
        yield from at_least(f"{where}.{key}", pod.get(key), 0)
    yield from at_least(f"{where}.activeDeadlineSeconds", pod.get("activeDeadlineSeconds"), 1)
    context = pod.get("securityContext") or {}
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        yield from at_least(f"{where}.securityContext.{key}", context.get(key), 0)
    yield from one_of(
        f"{where}.securityContext.fsGroupChangePolicy",
        context.get("fsGroupChangePolicy"),
        ("OnRootMismatch", "Always"),
    )
    if "serviceAccountName" in pod and not SUBDOMAIN.match(str(pod["serviceAccountName"])):
        yield f"{where}: {pod['serviceAccountName']!r} is no service account's name"
    yield from labels(f"{where}.nodeSelector", pod.get("nodeSelector"))
    for secret in pod.get("imagePullSecrets") or ():
        if not SUBDOMAIN.match(str(secret.get("name", ""))):
            yield f"{where}.imagePullSecrets: {secret.get('name')!r} is no name"
    for number, toleration in enumerate(pod.get("tolerations") or ()):
        yield from _toleration(f"{where}.tolerations[{number}]", toleration)
    spread = pod.get("topologySpreadConstraints") or ()
    for number, term in enumerate(spread):
        at = f"{where}.topologySpreadConstraints[{number}]"
        if "maxSkew" not in term:
            yield f"{at}: maxSkew is missing"
        yield from at_least(f"{at}.maxSkew", term.get("maxSkew"), 1)
        if not QUALIFIED.match(str(term.get("topologyKey", ""))):
            yield f"{at}: topologyKey {term.get('topologyKey')!r}"
        if term.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
            yield f"{at}: whenUnsatisfiable {term.get('whenUnsatisfiable')!r}"
        yield from selector(f"{at}.labelSelector", term.get("labelSelector"))
    yield from doubles(
        f"{where}.topologySpreadConstraints",
        "constraint",
        [(t.get("topologyKey"), t.get("whenUnsatisfiable")) for t in spread],
    )


def _toleration(at: str, toleration: dict[str, Any]) -> Iterator[str]:
    yield from one_of(f"{at}.operator", toleration.get("operator"), ("Exists", "Equal"))
    yield from one_of(f"{at}.effect", toleration.get("effect"), _EFFECTS)
    if toleration.get("operator") == "Exists" and toleration.get("value"):
        yield f"{at}: Exists takes no value"
    if not toleration.get("key") and toleration.get("operator") != "Exists":
        yield f"{at}: no key, and not Exists"
    if "key" in toleration and not QUALIFIED.match(str(toleration["key"])):
        yield f"{at}: key {toleration['key']!r}"
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        yield f"{at}: tolerationSeconds is for NoExecute"
