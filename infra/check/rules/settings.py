"""Settings of other programs in our ConfigMaps: KFP's launcher, Argo, Flink, redis; names of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from hemix.infra.check.rules.named_by_pods import SECRETS
from hemix.infra.check.rules.values import quantity
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
_JAVA = (
    "java.base/java.lang=",
    "java.base/java.util=",
    "java.base/java.nio=",
    "java.base/java.net=",
)
RETRIED = (
    ("Error", "pod deleted"),
    ("Failed", "The node was low on resource: ephemeral-storage."),
    ("Failed", "Pod was evicted"),
    ("Failed", "Pod was terminated in response to imminent node shutdown."),
    ("Failed", "Preempted by scheduler"),
)
"""What Argo must start again: a node's status, its message."""
NOT_RETRIED = (("Failed", "Error (exit code 1)"), ("Failed", "OOMKilled (exit code 137)"))
"""A step's own failure comes again."""


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def problems(world: World) -> Iterator[str]:
    """What programs would not understand, or not find."""
    for manifest in world.of("ConfigMap"):
        data = manifest.get("data") or {}
        name = manifest["metadata"]["name"]
        if name == "kfp-launcher":
            yield from (f"ConfigMap {name}: {p}" for p in launcher(data))
        if "redis.conf" in data:
            yield from (f"ConfigMap {name}: {p}" for p in _redis(data["redis.conf"]))
        if "config.yaml" in data and "jobmanager" in data["config.yaml"]:
            yield from (f"ConfigMap {name}: {p}" for p in _flink(world, data["config.yaml"]))
    yield from _launcher_there(world)
    yield from _images(world)


def _launcher_there(world: World) -> Iterator[str]:
    """In a profile the controller owns it; elsewhere it must be rendered."""
    namespace = world.named("Namespace", world.home) or {"metadata": {}}
    labels = namespace["metadata"].get("labels") or {}
    profile = labels.get("app.kubernetes.io/part-of") == "kubeflow-profile"
    if not profile and world.named("ConfigMap", "kfp-launcher", world.runs) is None:
        yield f"no ConfigMap kfp-launcher in {world.runs}: the launcher knows no region and no keys"


def launcher(data: dict[str, str]) -> Iterator[str]:
    """KFP's launcher (config/s3.go) must find region, addressing and keys for s3://."""
    try:
        found = _yaml(data.get("providers", "")) or {}
    except yaml.YAMLError as error:
        yield f"providers: not YAML ({error})"
        return
    default = ((found.get("s3") or {}).get("default") or {}) if isinstance(found, dict) else {}
    for key in ("endpoint", "region"):
        if not default.get(key):
            yield f"providers.s3.default.{key}: is missing"
    if "://" in str(default.get("endpoint", "")):
        yield "providers.s3.default.endpoint: a host, without https://"
    if default.get("forcePathStyle") is not True:
        yield "providers.s3.default.forcePathStyle: must be true: only AWS resolves a host a bucket"
    if default.get("disableSSL") not in (None, False):
        yield "providers.s3.default.disableSSL: keys would go in the clear"
    credentials = default.get("credentials") or {}
    if not credentials.get("fromEnv"):
        reference = credentials.get("secretRef") or {}
        known = SECRETS.get(str(reference.get("secretName")))
        if known is None:
            yield f"providers.s3.default.credentials: there is no secret {reference.get('secretName')}"
            return
        for key in ("accessKeyKey", "secretKeyKey"):
            if reference.get(key) not in known:
                yield f"providers.s3.default.credentials.{key}: the secret has no {reference.get(key)}"


def argo(data: dict[str, str]) -> Iterator[str]:
    """Argo's defaults: lost pods are started again, a step's own failure is not."""
    found = _yaml(data.get("workflowDefaults", "")) or {}
    strategy = ((found.get("spec") or {}).get("templateDefaults") or {}).get("retryStrategy") or {}
    if strategy.get("retryPolicy") != "Always":
        yield f"retryPolicy {strategy.get('retryPolicy')}: evictions are failures, lost pods errors"
    if int(strategy.get("limit", 0)) < 1:
        yield "limit: KFP's own drivers would not be started again"
    match = re.search(r'lastRetry\.message matches "([^"]+)"', strategy.get("expression", ""))
    pattern = match[1].replace("(?i)", "") if match else "$^"
    error = 'lastRetry.status == "Error"' in strategy.get("expression", "")
    for wanted, cases in ((True, RETRIED), (False, NOT_RETRIED)):
        for status, message in cases:
            again = (error and status == "Error") or bool(
                re.search(pattern, message, re.IGNORECASE)
            )
            if again != wanted:
                yield f"expression: {status} {message!r} is {'not ' if wanted else ''}started again"
    restarts = _yaml(data.get("failedPodRestart", "")) or {}
    if restarts.get("enabled") is not True:
        yield "failedPodRestart: pods that never started are not made anew"


def _redis(text: str) -> Iterator[str]:
    lines = [
        line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]
    told = {line[0]: line[1:] for line in lines}
    if "requirepass" in told:
        yield "redis.conf: a password stands in a ConfigMap"
    for key, value in (
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("protected-mode", "yes"),
    ):
        if told.get(key) != [value]:
            yield f"redis.conf: {key} must be {value}"
    if told.get("port") != ["6379"]:
        yield f"redis.conf: port {told.get('port')} is not the one of its Service"
    if told.get("dir") != ["/data"]:
        yield "redis.conf: dir is not the volume"


def _flink(world: World, text: str) -> Iterator[str]:
    try:
        found = _yaml(text)
    except yaml.YAMLError as error:
        yield f"config.yaml: not YAML ({error})"
        return
    options = str((((found.get("env") or {}).get("java") or {}).get("opts") or {}).get("all", ""))
    for opened in _JAVA:
        if f"--add-opens={opened}" not in options:
            yield f"config.yaml: env.java.opts.all opens no {opened}: Kryo fails on Java 17"
    rpc = (found.get("jobmanager") or {}).get("rpc") or {}
    service = next((s for s in world.services if s.name == rpc.get("address")), None)
    if service is None:
        yield f"config.yaml: there is no Service {rpc.get('address')}"
    elif rpc.get("port") not in {p.get("port") for p in service.ports}:
        yield f"config.yaml: {service.title} has no port {rpc.get('port')}"
    for part, deployment in (
        ("jobmanager", "hemix-flink-jobmanager"),
        ("taskmanager", "hemix-flink-taskmanager"),
    ):
        size = ((found.get(part) or {}).get("memory") or {}).get("process") or {}
        pod = next((p for p in world.pods if p.title == f"Deployment {deployment}"), None)
        if pod is None:
            continue
        own = next(c for c in pod.spec["containers"] if c["name"] == part)
        limit = quantity(((own.get("resources") or {}).get("limits") or {}).get("memory"))
        match = re.fullmatch(r"([0-9]+)([mg])", str(size.get("size")))
        if match is None:
            yield f"config.yaml: {part}.memory.process.size {size.get('size')!r} is not 1600m, 2g"
        elif limit is not None and int(match[1]) * {"m": 2**20, "g": 2**30}[match[2]] > limit:
            yield f"config.yaml: {part} takes {size['size']}, above the container's limit"
    rest = (found.get("rest") or {}).get("port", 8081)
    if service is not None and rest not in {p.get("port") for p in service.ports}:
        yield f"config.yaml: {service.title} has no port {rest}"


# ---- images -------------------------------------------------------------------------------------

_HOST = re.compile(r"^(localhost|[^/]+[.:][^/]*)/")


def _images(world: World) -> Iterator[str]:
    """An image without a host is looked for on Docker Hub, where its name may be somebody else's."""
    seen: dict[str, set[str]] = {}
    named = [(title_of(m), i) for m in world.manifests for i in _named(m)]
    named += [(pod.title, i) for pod in world.pods if pod.maker == "kfp" for i in _named(pod.spec)]
    for title, image in named:
        if not _HOST.match(image):
            yield f"{title}: image {image} names no registry"
        match = re.search(r"/hemix/(features|train|pipeline)([:@].*)$", image)
        if match:  # serve is left out: an image on trial is another one
            seen.setdefault(match[1], set()).add(image)
    for name, images in seen.items():
        if len(images) > 1:
            yield f"hemix/{name} is pulled as {' and as '.join(sorted(images))}"


def _named(value: Any) -> Iterator[str]:
    """Every text under a key ``image``."""
    children = value.items() if isinstance(value, dict) else ()
    for key, child in children:
        if key == "image" and isinstance(child, str):
            yield child
        yield from _named(child)
    if isinstance(value, list):
        for child in value:
            yield from _named(child)
