"""What a pod names: accounts, volumes, config maps, secrets, addresses, paths; all must be there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.own import mend, own
from hemix.infra.check.rules.values import quantity, selects
from hemix.infra.check.rules.world import Pod, Service, World

Manifest = dict[str, Any]
_DOCUMENTED = {
    "hemix-storage": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"},
    "hemix-redis": {"password"},
    "hemix-signing": {"private.pem", "public.pem"},
    "hemix-tls": {"tls.crt", "tls.key"},
    "hemix-registry": {".dockerconfigjson"},
}
"""Made by hand (docs/operator/cluster.md), with their keys; all else that is named must be rendered."""


def secrets() -> dict[str, set[str]]:
    """Secrets that are there, with their keys: the documented ones and the installation's own."""
    return {**_DOCUMENTED, **{name: set(keys) for name, keys in own().secrets.items()}}


OUTSIDE = {("Gateway", "hemix-inner")}
"""Of the cluster's own, named in an example of the deployment settings."""


def named_by_pod(world: World, pod: Pod) -> Iterator[str]:
    """Everything that a pod names and that is not there."""
    spec = pod.spec
    account = spec.get("serviceAccountName")
    if account is not None and world.named("ServiceAccount", account, pod.namespace) is None:
        yield f"there is no service account {account} in {pod.namespace}"
    if pod.maker != "kfp" and not account:
        yield "names no service account, so that images of a private registry are not pulled"
    for secret in spec.get("imagePullSecrets") or ():
        if secret.get("name") not in secrets():
            yield f"imagePullSecrets: there is no secret {secret.get('name')}; {mend('secrets')}"
    if pod.maker != "kfp" and pod.labels.get("sidecar.istio.io/inject") != "false":
        yield 'lets Istio put a sidecar into it (label sidecar.istio.io/inject: "false")'
    for volume in spec.get("volumes") or ():
        yield from _volume(world, pod, volume)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        at = f"container {container.get('name')}"
        for problem in _container(world, pod, container):
            yield f"{at}: {problem}"
    for term in spec.get("topologySpreadConstraints") or ():
        if not selects(term.get("labelSelector"), pod.labels):
            yield "topologySpreadConstraints: does not mean these pods"


def _volume(world: World, pod: Pod, volume: Manifest) -> Iterator[str]:
    at = f"volume {volume.get('name')}"
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        config = source.get("configMap")
        if config is not None:
            yield from _config(
                world, pod, at, config, [i.get("key") for i in config.get("items") or ()]
            )
        secret = source.get("secret")
        if secret is not None:
            name = secret.get("secretName", secret.get("name"))
            for key in [i.get("key") for i in secret.get("items") or ()] or [None]:
                yield from _secret(at, name, key, bool(secret.get("optional")))
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if claim is not None and world.named("PersistentVolumeClaim", claim, pod.namespace) is None:
        yield f"{at}: there is no claim {claim} in {pod.namespace}"


def _config(world: World, pod: Pod, at: str, source: Manifest, keys: list[Any]) -> Iterator[str]:
    name = source.get("name")
    found = world.named("ConfigMap", name, pod.namespace)
    if found is None:
        if not source.get("optional"):
            yield f"{at}: there is no ConfigMap {name} in {pod.namespace}"
        return
    known = {*(found.get("data") or {}), *(found.get("binaryData") or {})}
    for key in keys:
        if key not in known:
            yield f"{at}: ConfigMap {name} has no {key}"


def _secret(at: str, name: Any, key: Any, optional: bool) -> Iterator[str]:
    if name not in secrets():
        yield f"{at}: there is no secret {name}; {mend('secrets')}"
    elif key is not None and key not in secrets()[name]:
        yield f"{at}: secret {name} has no {key}"
    elif key == "AWS_ENDPOINT_URL" and not optional:
        yield f"{at}: secret {name}: {key} is optional: the cloud's own storage needs none"


def _container(world: World, pod: Pod, container: Manifest) -> Iterator[str]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        secret, config = source.get("secretKeyRef"), source.get("configMapKeyRef")
        if secret is not None:
            found = _secret(
                "env", secret.get("name"), secret.get("key"), bool(secret.get("optional"))
            )
            yield from found
        if config is not None:
            yield from _config(world, pod, "env", config, [config.get("key")])
    for source in container.get("envFrom") or ():
        if "configMapRef" in source:
            yield from _config(world, pod, "envFrom", source["configMapRef"], [])
        if "secretRef" in source and source["secretRef"].get("name") not in secrets():
            yield f"envFrom: there is no secret {source['secretRef'].get('name')}; {mend('secrets')}"
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    variables = [str(v["value"]) for v in container.get("env") or () if v.get("value") is not None]
    for word in (*map(str, words), *variables):
        yield from addresses(world, pod.namespace, word)
    yield from _paths(world, pod, container, [*map(str, words), *variables])
    yield from _amounts(container)


_HOST = re.compile(r"(?:^|[=/@\s\"'])((?:hemix|ranker)[a-z0-9-]*)(?:\.([a-z0-9-]+)(?:\.svc)?)?(?::([0-9]+))?(?=$|[/\s,\"'])")  # fmt: skip


def addresses(world: World, namespace: str, text: str) -> Iterator[str]:
    """``http://NAME.NAMESPACE:PORT`` and ``NAME:PORT`` of our own: a Service that listens there."""
    if "s3://" in text or "localhost/" in text:
        return
    for name, space, port in _HOST.findall(text):
        if not (space or port) or (not port and "://" not in text):
            continue
        if space and space != world.home and not port:
            continue
        where = space or namespace
        service = next((s for s in world.services if (s.name, s.namespace) == (name, where)), None)
        if ("Gateway", name) in OUTSIDE:
            continue
        if service is None:
            yield f"{text[:80]}: there is no Service {name} in {where}"
        else:
            number = int(port or (443 if f"https://{name}" in text else 80))
            if number not in numbers(service):
                yield f"{text[:80]}: {service.title} has no port {number}"


def numbers(service: Service) -> set[Any]:
    """Ports that a caller can use; a headless Service's are the pods' own."""
    key = "targetPort" if service.headless else "port"
    return {p.get(key, p.get("port")) for p in service.ports} | {
        p.get("port") for p in service.ports
    }


def _paths(world: World, pod: Pod, container: Manifest, texts: list[str]) -> Iterator[str]:
    """Files below a mounted ConfigMap that a command names are in it."""
    volumes = {v.get("name"): v for v in pod.spec.get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        volume, path = volumes.get(mount.get("name"), {}), str(mount.get("mountPath"))
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        names = [s["configMap"].get("name") for s in sources if s.get("configMap")]
        found = [world.named("ConfigMap", name, pod.namespace) for name in names]
        known = {key for config in found if config for key in config.get("data") or {}}
        items = [i for s in sources for i in (s.get("configMap") or {}).get("items") or ()]
        if items:  # only these lie there, by the names that they are given
            known = {str(item.get("path")) for item in items}
        if not names or None in found:
            continue
        for text in texts:
            for file in re.findall(rf"{re.escape(path)}/([-._A-Za-z0-9]+)", text):
                if file not in known | OPTIONAL_FILES:
                    yield f"{path}/{file}: the ConfigMap puts no {file} there"
    roots = [str(m.get("mountPath")) for m in container.get("volumeMounts") or ()]
    for text in texts:
        for file in re.findall(
            r"(?:^|[\s=(])(/(?:etc|mnt|var/lib|tmp|data)(?:/[-._A-Za-z0-9/]+)?)(?=$|[\s,)\"'])",
            text,
        ):
            inside = any(file == root or file.startswith(root.rstrip("/") + "/") for root in roots)
            if not inside and not file.startswith("/mnt/models") and "${" not in file:
                yield f"{file}: no volume is mounted there"


OPTIONAL_FILES = {"experiments.yaml"}
"""Read when it is there."""


def _amounts(container: Manifest) -> Iterator[str]:
    """Memory that a program is told to take is within what its container may."""
    limit = quantity(((container.get("resources") or {}).get("limits") or {}).get("memory"))
    for variable in container.get("env") or ():
        if variable.get("name") == "MAXMEMORY" and limit is not None:
            match = re.fullmatch(r"([0-9]+)(mb|gb)", str(variable.get("value")))
            if match is None:
                yield f"MAXMEMORY {variable.get('value')!r} is not 512mb, 24gb"
            elif int(match[1]) * {"mb": 2**20, "gb": 2**30}[match[2]] > limit:
                yield f"MAXMEMORY {variable['value']} is above the memory limit"
