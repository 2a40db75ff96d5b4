"""Kubernetes' own types: the published schema, then what schemas do not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.objects import Manifest

VERSION = "1.31"
"""Of the schemas; the newest that the pinned kubernetes-validate holds."""
_NAME = re.compile(r"^[a-z0-9]([a-z0-9.:-]{0,251}[a-z0-9])?$")
_LABEL = re.compile(
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$")
_IMAGE = re.compile(
    r"^[a-z0-9][a-zA-Z0-9._:/-]*(:(?P<tag>[\w][\w.-]{0,127})|@sha256:[0-9a-f]{64})$"
)


def problems(manifest: Manifest) -> list[str]:
    """Why a cluster would refuse ``manifest``, a core type; empty when it would not."""
    return [*_schema(manifest), *everywhere(manifest)]


def everywhere(manifest: Manifest) -> list[str]:
    """What holds for custom resources too: names, labels, quantities, pods."""
    found = list(_metadata(manifest.get("metadata") or {}))
    for path, value in _walk(manifest):
        if path[-1:] in (("requests",), ("limits",), ("hard",)) and isinstance(value, dict):
            for name, quantity in value.items():
                if not _QUANTITY.match(str(quantity)):
                    found.append(f"{_text(path)}.{name}: {quantity!r} is no quantity")
        if path[-1:] == ("image",) and isinstance(value, str):
            match = _IMAGE.match(value)
            if match is None or match["tag"] == "latest":
                found.append(f"{_text(path)}: {value!r} is not pinned by a tag or digest")
        # A TrainJob's patches are parts of a pod; the runtime has the rest.
        patched = "runtimePatches" in path
        if path[-1:] == ("containers",) and isinstance(value, list) and value and not patched:
            found += _restricted(path, _at(manifest, path[:-1]))
    return found


def _schema(manifest: Manifest) -> Iterator[str]:
    import kubernetes_validate

    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path)) or 'object'}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"{manifest.get('apiVersion')} {manifest.get('kind')}: Kubernetes has no such type"


def _metadata(metadata: dict[str, Any]) -> Iterator[str]:
    if not _NAME.match(str(metadata.get("name", ""))):
        yield f"metadata.name: {metadata.get('name')!r} is no Kubernetes name"
    for key, value in (metadata.get("labels") or {}).items():
        if not _LABEL.match(key) or not _VALUE.match(str(value)):
            yield f"metadata.labels: {key}={value} is no label"
    for key in metadata.get("annotations") or {}:
        if not re.match(_LABEL.pattern, key):
            yield f"metadata.annotations: {key} is no annotation's name"


def _restricted(path: tuple[str, ...], pod: dict[str, Any]) -> Iterator[str]:
    """Pod Security `restricted`, as the namespaces of ``infra/`` enforce it, and our own rule:
    a root file system that cannot be written."""
    where = _text(path[:-1])
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{where}.{key}: not under `restricted`"
    for volume in pod.get("volumes") or ():
        if "hostPath" in volume:
            yield f"{where}.volumes: {volume['name']} is a hostPath"
    of_pod = pod.get("securityContext") or {}
    for container in [*(pod.get("initContainers") or ()), *pod["containers"]]:
        of_container = container.get("securityContext") or {}
        both = {**of_pod, **of_container}
        name = f"{where} container {container.get('name')}"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield f"{name}: may run as root"
        if (both.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: has no seccomp profile"
        if of_container.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: may escalate its privileges"
        if of_container.get("privileged"):
            yield f"{name}: is privileged"
        if "ALL" not in ((of_container.get("capabilities") or {}).get("drop") or ()):
            yield f"{name}: keeps capabilities"
        if of_container.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: may write its root file system"
        if not (container.get("resources") or {}).get("requests"):
            yield f"{name}: requests no resources"


def _walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, value
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from _walk(child, (*path, str(key)))


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _text(path: tuple[str, ...]) -> str:
    return ".".join(path)
