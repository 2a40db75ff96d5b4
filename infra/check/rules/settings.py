"""Settings of other programs in our ConfigMaps: KFP's launcher, Argo, Flink, redis; names of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from hemix.infra.check.rules.named_by_pods import secrets
from hemix.infra.check.rules.own import file, own
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
    yield from _known("providers", found, {"s3", "gs", "minio"})
    yield from _known("providers.s3", (found or {}).get("s3"), {"default", "overrides"})
    keys = {"endpoint", "region", "disableSSL", "forcePathStyle", "credentials", "maxRetries"}
    yield from _known("providers.s3.default", default, keys)
    given = default.get("credentials")
    yield from _known("providers.s3.default.credentials", given, {"fromEnv", "secretRef"})
    for key in ("disableSSL", "forcePathStyle"):
        if not isinstance(default.get(key, False), bool):
            yield f"providers.s3.default.{key}: {default[key]!r} is not true or false"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(default.get("region", ""))):
        yield f"providers.s3.default.region: {default.get('region')!r} is no region"
    if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?", str(default.get("endpoint", ""))):
        yield f"providers.s3.default.endpoint: {default.get('endpoint')!r} is no host"
    for key in ("endpoint", "region"):
        if not default.get(key):
            yield f"providers.s3.default.{key}: is missing"
    if "://" in str(default.get("endpoint", "")):
        yield "providers.s3.default.endpoint: a host, without https://"
    if default.get("forcePathStyle") is not True:
        yield "providers.s3.default.forcePathStyle: must be true: only AWS resolves a host a bucket"
    if default.get("disableSSL") not in (None, False):
        yield "providers.s3.default.disableSSL: keys would go in the clear"
    for key in sorted(set(data) - {"defaultPipelineRoot", "providers"}):
        yield f"data.{key}: the launcher reads defaultPipelineRoot and providers only"
    endpoint, region = str(default.get("endpoint", "")), str(default.get("region", ""))
    if endpoint.endswith(":80") and not default.get("disableSSL"):
        yield f"providers.s3.default.endpoint {endpoint}: port 80 speaks no TLS, and disableSSL is false; port 443"
    cloud = re.fullmatch(r"s3[.-](?:dualstack\.)?([a-z]+-[a-z-]+-\d)\.amazonaws\.com", endpoint)
    if cloud and cloud[1] != region:
        yield f"providers.s3.default.region {region}: the endpoint is of {cloud[1]}"
    root = str(data.get("defaultPipelineRoot") or "")
    if root and not re.match(r"(s3|gs)://[^/\s]+", root):
        yield f"defaultPipelineRoot {root!r} is no s3://BUCKET/PREFIX, and no other store is among its providers"
    credentials = default.get("credentials") or {}
    if credentials.get("fromEnv") and credentials.get("secretRef"):
        yield "providers.s3.default.credentials: fromEnv true, and a secretRef that is then not read: false, or no secretRef"
    if not credentials.get("fromEnv"):
        reference = credentials.get("secretRef") or {}
        known = secrets().get(str(reference.get("secretName")))
        if known is None:
            yield f"providers.s3.default.credentials: there is no secret {reference.get('secretName')}"
            return
        if reference.get("accessKeyKey") == reference.get("secretKeyKey"):
            yield "providers.s3.default.credentials: one key is taken for both"
        if "SECRET" in str(reference.get("accessKeyKey")):
            yield "providers.s3.default.credentials: the keys are swapped"
        for key in ("accessKeyKey", "secretKeyKey"):
            if reference.get(key) not in known:
                yield f"providers.s3.default.credentials.{key}: the secret has no {reference.get(key)}"


def _known(where: str, found: Any, keys: set[str]) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{where}: is no mapping"
        return
    for key in sorted(set(found) - keys):
        yield f"{where}.{key}: the launcher reads no such key"


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
        yield "failedPodRestart: pods that never started are not made anew; enabled: true"
    most = restarts.get("maxRestarts", 3)
    if not isinstance(most, int) or most < 1:
        yield f"failedPodRestart.maxRestarts {most!r}: pods that never started are not made anew; at least 1, 3 as shipped"


_DIRECTIVES = {
    "port", "protected-mode", "dir", "appendonly", "appendfsync", "save", "maxmemory-policy",
    "tcp-keepalive", "timeout", "maxclients", "lazyfree-lazy-user-del", "io-threads", "databases",
    "auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size", "loglevel", "requirepass",
}  # fmt: skip


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
    for line in lines:
        meant = f"ConfigMap hemix-redis redis.conf.{line[0]}"
        if len(line) < 2:
            yield f"redis.conf: {line[0]} says no value: redis does not start; take the line out, or give it one"
        elif line[0] not in _DIRECTIVES and meant not in own().changed:
            yield f"redis.conf: {' '.join(line)!r}: is not among the directives that are checked ({', '.join(sorted(_DIRECTIVES - {'requirepass'}))}), and one that redis does not know keeps it from starting; take it out, or, if you mean it so, name '{meant}' under changed in {file()}"
    for name in {line[0] for line in lines if [one[0] for one in lines].count(line[0]) > 1}:
        yield f"redis.conf: {name} stands twice"
    if told.get("appendfsync", ["everysec"])[0] not in ("everysec", "always"):
        yield f"redis.conf: appendfsync {told['appendfsync'][0]}: features are lost with the pod"
    for name in ("tcp-keepalive", "timeout"):
        if not re.fullmatch(r"\d+", told.get(name, ["0"])[0]):
            yield f"redis.conf: {name} {told[name][0]} is no number of seconds"
    if told.get("timeout", ["0"]) != ["0"]:
        yield "redis.conf: timeout: rankers keep their connections"


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
    yield from _flink_ports(world, found)
    rest = (found.get("rest") or {}).get("port", 8081)
    if service is not None and rest not in {p.get("port") for p in service.ports}:
        yield f"config.yaml: {service.title} has no port {rest}"


_OTHER = {"jobmanager", "taskmanager", "blob", "rest", "restart-strategy", "env", "io", "web",
          "parallelism", "execution", "state", "classloader", "heartbeat", "akka", "pekko"}  # fmt: skip
_PARTS = (
    ("jobmanager", "rpc", ("jobmanager", "rpc", "port"), 6123),
    ("jobmanager", "blob", ("blob", "server", "port"), None),
    ("jobmanager", "rest", ("rest", "port"), 8081),
    ("taskmanager", "data", ("taskmanager", "data", "port"), None),
    ("taskmanager", "rpc", ("taskmanager", "rpc", "port"), None),
)
"""Container, its port's name, where the configuration says it, and what it is when it does not."""


def _flink_ports(world: World, found: Manifest) -> Iterator[str]:
    """Every key is Flink's, every port the container's, and every process listens to the others."""
    for key in set(found) - _OTHER:
        yield f"config.yaml: {key} is no key of Flink's that is known here"
    for part, name, path, usual in _PARTS:
        value: Any = found
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        number = usual if value is None else value
        pod = next((p for p in world.pods if p.title == f"Deployment hemix-flink-{part}"), None)
        own = [
            p.get("containerPort")
            for c in (pod.spec.get("containers") or () if pod else ())
            if c.get("name") == part
            for p in c.get("ports") or ()
            if p.get("name") == name
        ]
        if pod is not None and own != [number]:
            yield f"config.yaml: {'.'.join(path)} is {number}, and the container {part} says {name} {own}"
    for part in ("jobmanager", "taskmanager"):
        if (found.get(part) or {}).get("bind-host") != "0.0.0.0":
            yield f"config.yaml: {part}.bind-host: listens to itself alone"
    if (found.get("rest") or {}).get("bind-address") != "0.0.0.0":
        yield "config.yaml: rest.bind-address: listens to itself alone"
    kind = (found.get("restart-strategy") or {}).get("type")
    if kind not in ("none", "off", "disable"):
        yield f"config.yaml: restart-strategy {kind}: a batch job that failed is the step's to start again"
    slots = (found.get("taskmanager") or {}).get("numberOfTaskSlots")
    if slots != 1:
        yield f"config.yaml: taskmanager.numberOfTaskSlots {slots}: its pod has one worker"
    for path in (("io", "tmp", "dirs"), ("web", "upload", "dir")):
        value = found
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if not str(value).startswith("/tmp"):
            yield f"config.yaml: {'.'.join(path)} {value}: only /tmp can be written"


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
