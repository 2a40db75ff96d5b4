"""Containers: what Kubernetes' validation refuses although the schema lets it through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.values import (
    ENV_NAME,
    KEY,
    LABEL,
    PORT_NAME,
    at_least,
    doubles,
    is_port,
    one_of,
    quantity,
)

_STANDARD = {"cpu", "memory", "ephemeral-storage"}
_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations",
    "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP",
    "status.podIPs",
)  # fmt: skip
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_WAYS = ("exec", "httpGet", "tcpSocket", "grpc")


def problems(where: str, container: dict[str, Any], *, whole: bool = True) -> Iterator[str]:
    """What is wrong with one container.

    Args:
        where: its place.
        container: as in a pod.
        whole: False for a part that a controller completes: name and image may be missing.
    """
    if (whole or "name" in container) and not LABEL.match(str(container.get("name", ""))):
        yield f"{where}: {container.get('name')!r} is no container's name"
    if whole and not container.get("image"):
        yield f"{where}: has no image"
    yield from one_of(
        f"{where}.imagePullPolicy", container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never")
    )  # fmt: skip
    yield from one_of(
        f"{where}.terminationMessagePolicy",
        container.get("terminationMessagePolicy"),
        ("File", "FallbackToLogsOnError"),
    )
    yield from _ports(where, container)
    yield from _environment(where, container)
    yield from resources(f"{where}.resources", container.get("resources") or {})
    ports = {p.get("name"): p.get("containerPort") for p in container.get("ports") or ()}
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(kind):
            yield from _probe(f"{where}.{kind}", kind, probe, ports)
    for moment, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            yield from _handler(
                f"{where}.lifecycle.{moment}", handler, (*_WAYS[:3], "sleep"), ports
            )
    context = container.get("securityContext") or {}
    for key in ("runAsUser", "runAsGroup"):
        yield from at_least(f"{where}.securityContext.{key}", context.get(key), 0)
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        at = f"{where}.volumeMounts[{number}]"
        path = str(mount.get("mountPath", ""))
        if not path or ":" in path:
            yield f"{at}: mountPath {path!r}"
        for key in ("subPath", "subPathExpr"):
            sub = str(mount.get(key, ""))
            if sub.startswith("/") or ".." in sub.split("/"):
                yield f"{at}: {key} {sub!r} leads out of the volume"
    paths = [m.get("mountPath") for m in container.get("volumeMounts") or ()]
    yield from doubles(f"{where}.volumeMounts", "mountPath", paths)


def _ports(where: str, container: dict[str, Any]) -> Iterator[str]:
    ports = container.get("ports") or ()
    for number, port in enumerate(ports):
        at = f"{where}.ports[{number}]"
        if not is_port(port.get("containerPort")):
            yield f"{at}: containerPort {port.get('containerPort')!r} is not in 1..65535"
        yield from one_of(f"{at}.protocol", port.get("protocol"), ("TCP", "UDP", "SCTP"))
        if "name" in port and not PORT_NAME.match(str(port["name"])):
            yield f"{at}: {port['name']!r} is no port's name"
    yield from doubles(f"{where}.ports", "the name", [p["name"] for p in ports if "name" in p])
    yield from doubles(
        f"{where}.ports",
        "port",
        [(p.get("containerPort"), p.get("protocol", "TCP")) for p in ports],
    )


def _environment(where: str, container: dict[str, Any]) -> Iterator[str]:
    variables = container.get("env") or ()
    yield from doubles(f"{where}.env", "variable", [v.get("name") for v in variables])
    for number, variable in enumerate(variables):
        at = f"{where}.env[{number}]"
        if not ENV_NAME.match(str(variable.get("name", ""))):
            yield f"{at}: {variable.get('name')!r} is no variable's name"
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            yield f"{at}: has value and valueFrom"
        given = [key for key in source if key in _SOURCES]
        if len(given) != 1:
            yield f"{at}: valueFrom needs one of {', '.join(_SOURCES)}"
        for key in ("configMapKeyRef", "secretKeyRef"):
            reference = source.get(key)
            if reference is not None and not KEY.match(str(reference.get("key", ""))):
                yield f"{at}: {key} without a key"
            if reference is not None and not reference.get("name"):
                yield f"{at}: {key} without a name"
        path = (source.get("fieldRef") or {}).get("fieldPath")
        if path is not None and path.partition("[")[0] not in _FIELDS:
            yield f"{at}: {path!r} is no field of a pod"


def resources(where: str, found: dict[str, Any]) -> Iterator[str]:
    """Requests and limits: known resources, whole devices, a request within its limit."""
    amounts = {
        side: {name: quantity(value) for name, value in (found.get(side) or {}).items()}
        for side in ("requests", "limits")
    }
    for side, values in amounts.items():
        for name, amount in values.items():
            at = f"{where}.{side}.{name}"
            if amount is None or amount < 0:
                yield f"{at}: {found[side][name]!r} is no amount"
            if name not in _STANDARD and not name.startswith("hugepages-") and "/" not in name:
                yield f"{at}: Kubernetes knows no such resource"
            if amount is not None and "/" in name and amount != int(amount):
                yield f"{at}: {found[side][name]} devices"
            if side == "requests" and "/" in name and amount != amounts["limits"].get(name):
                yield f"{at}: a device's request must be its limit"
    for name, amount in amounts["requests"].items():
        limit = amounts["limits"].get(name)
        if amount is not None and limit is not None and amount > limit:
            yield f"{where}.requests.{name}: above the limit"
    memory = amounts["limits"].get("memory")
    if memory is not None and 0 < memory < 4 * 1024 * 1024:
        yield f"{where}.limits.memory: {found['limits']['memory']} holds no process"


def _probe(where: str, kind: str, probe: dict[str, Any], ports: dict[Any, Any]) -> Iterator[str]:
    for key in ("periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold"):
        yield from at_least(f"{where}.{key}", probe.get(key), 1)
    yield from at_least(f"{where}.initialDelaySeconds", probe.get("initialDelaySeconds"), 0)
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield f"{where}: successThreshold must be 1"
    if "terminationGracePeriodSeconds" in probe:
        if kind == "readinessProbe":
            yield f"{where}: a readiness probe ends nothing (terminationGracePeriodSeconds)"
        yield from at_least(
            f"{where}.terminationGracePeriodSeconds", probe["terminationGracePeriodSeconds"], 1
        )
    handler = {key: value for key, value in probe.items() if key in _WAYS}
    yield from _handler(where, handler, _WAYS, ports)


def _handler(
    where: str, handler: dict[str, Any], ways: tuple[str, ...], ports: dict[Any, Any]
) -> Iterator[str]:
    given = [way for way in ways if handler.get(way) is not None]
    if len(given) != 1:
        yield f"{where}: needs one of {', '.join(ways)}, has {', '.join(given) or 'none'}"
    for way in ("httpGet", "tcpSocket", "grpc"):
        target = handler.get(way)
        if target is None:
            continue
        port = target.get("port")
        if isinstance(port, int):
            if not is_port(port):
                yield f"{where}: port {port!r} is not in 1..65535"
            elif ports and port not in ports.values():
                yield f"{where}: no port of the container is {port}"
        elif way == "grpc" or port not in ports:
            yield f"{where}: the container has no port {port!r}"
        if way == "httpGet":
            yield from one_of(f"{where}.scheme", target.get("scheme"), ("HTTP", "HTTPS"))
            if not str(target.get("path", "/")).startswith("/"):
                yield f"{where}: path {target.get('path')!r} does not begin with /"
    if handler.get("exec") is not None and not handler["exec"].get("command"):
        yield f"{where}: exec without a command"
    if handler.get("sleep") is not None:
        yield from at_least(f"{where}.sleep.seconds", handler["sleep"].get("seconds"), 1)
