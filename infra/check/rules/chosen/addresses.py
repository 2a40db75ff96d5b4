"""Addresses that programs are told: of predictors, redis, Flink, Prometheus."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import yaml

from hemix.infra.check.objects import LOADER
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
_URL = re.compile(r"(https?)://([a-z0-9-]+)\.([a-z0-9-]+)((?:\.svc(?:\.cluster\.local)?)?)(?::(\d+))?(/.*)?")  # fmt: skip
_REDIS = re.compile(r"(rediss?)://([^:/]+)(?::(\d+))?(?:/(\w*))?")
_FEATURES, _DATABASES = 0, 16
"""Feast writes features to redis' first database; redis has sixteen when nothing is said."""


def problems(world: World) -> Iterator[str]:
    """What is asked at an address where no one, or another program, answers."""
    for manifest in world.of("ConfigMap"):
        text = (manifest.get("data") or {}).get("predictors.yaml")
        if text is not None:
            yield from (f"{title_of(manifest)}: {p}" for p in _predictors(world, str(text)))
    yield from _roots(world)
    databases = _databases(world)
    for pod in world.pods:
        if pod.maker == "kfp":
            continue
        for container in pod.spec.get("containers") or ():
            words = [str(word) for word in container.get("args") or ()]
            for option, word in itertools.pairwise(("", *words)):
                match = _REDIS.fullmatch(word)
                if option == "--events" and match is None and "://" in word:
                    yield f"{pod.title}: container {container.get('name')}: --events {word}: no redis://HOST:PORT/NUMBER"
                if match:
                    at = f"{pod.title}: container {container.get('name')}: {option} {word}"
                    yield from (f"{at}: {problem}" for problem in _redis(match, option, databases))
                told = re.fullmatch(r"--flink-master=([a-z0-9.-]+):(\d+)", word)
                if told:
                    at = f"{pod.title}: container {container.get('name')}: {word}"
                    yield from (f"{at}: {problem}" for problem in _flink(world, told[1], told[2]))
    for manifest in world.of("HTTPRoute"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _hosts(world, manifest))
    for manifest in world.of("ScaledObject"):
        for trigger in (manifest.get("spec") or {}).get("triggers") or ():
            address = str((trigger.get("metadata") or {}).get("serverAddress", ""))
            if address:
                yield from (f"{title_of(manifest)}: {p}" for p in _prometheus(address))


def _roots(world: World) -> Iterator[str]:
    """Runs keep registry, features and exposures under one root."""
    uris = [
        str(((m.get("spec") or {}).get("predictor") or {}).get("model", {}).get("storageUri") or "")
        for m in world.of("InferenceService")
    ]
    roots = {
        uri.partition("/registry/versions/")[0] for uri in uris if "/registry/versions/" in uri
    }
    if len(roots) != 1:
        return
    (root,) = roots
    for pod in world.pods:
        for container in pod.spec.get("containers") or () if pod.maker == "kserve" else ():
            words = [str(word) for word in container.get("args") or ()]
            for option, place in itertools.pairwise(words):
                name = place.rstrip("/").rpartition("/")[2]
                ours = option in ("--features", "--exposures") and "://" in place
                if ours and root.startswith("s3://") and place.rstrip("/") != f"{root}/{name}":
                    yield f"{pod.title}: container {container.get('name')}: {option} {place}: models come from {root}, where runs keep this too: {root}/{name}"


def _hosts(world: World, manifest: Manifest) -> Iterator[str]:
    """A route for hosts that a listener of its gateway takes."""
    spec = manifest.get("spec") or {}
    deployment = (manifest["metadata"].get("labels") or {}).get("hemix/deployment")
    for rule in spec.get("rules") or () if deployment else ():
        weights = {str(b.get("name")): b.get("weight", 1) for b in rule.get("backendRefs") or ()}
        for name, weight in weights.items():
            if weight == 0:
                yield f"spec.rules: backendRefs {name}: weight 0: no one reaches it; take it out, or give it some"
        for backend in rule.get("backendRefs") or ():
            service = next((s for s in world.services if s.name == backend.get("name")), None)
            if service is not None and service.labels.get("hemix/deployment") != deployment:
                yield f"spec.rules: backendRefs {service.name}: not of the deployment {deployment}, so users would reach another program; take it out"
    for parent in spec.get("parentRefs") or ():
        gateway = world.named("Gateway", parent.get("name"))
        listeners = ((gateway or {}).get("spec") or {}).get("listeners") or ()
        taken = [one.get("hostname") for one in listeners]
        wanted = spec.get("hostnames") or ()
        if not taken or not wanted or not all(taken):
            continue
        if not any(_same(str(a), str(b)) for a in taken for b in wanted):
            yield f"spec.hostnames {', '.join(wanted)}: no listener of {title_of(gateway or {})} takes them, only {', '.join(map(str, taken))}"


def _same(one: str, other: str) -> bool:
    for wide, host in ((one, other), (other, one)):
        if wide == host or (wide.startswith("*.") and host.endswith(wide[1:])):
            return True
    return False


def _predictors(world: World, text: str) -> Iterator[str]:
    try:
        found = yaml.load(text, Loader=LOADER)
    except yaml.YAMLError:
        return  # said where files are read
    entries = (found or {}).get("predictors") if isinstance(found, dict) else None
    seen: dict[str, str] = {}
    shares = [float(e["share"]) for e in entries or () if isinstance(e.get("share"), int | float)]
    if shares and len(shares) == len(entries or ()) and abs(sum(shares) - 1) > 1e-6:
        told = ", ".join(f"{share:g}" for share in shares)
        yield f"predictors.yaml: the shares {told} are {sum(shares):g} together: must be 1, all users"
    for entry in entries or ():
        url, version = str(entry.get("url")), str(entry.get("version"))
        at = f"predictors.yaml: version {version}: url {url}"
        if url in seen:
            yield f"{at} is that of version {seen[url]} too: both variants would get one model's scores"
        seen[url] = version
        match = _URL.fullmatch(url)
        if match is None:
            yield f"{at} is no address in the cluster, such as http://NAME-predictor.{world.home}"
            continue
        scheme, name, space, _, port, path = match.groups()
        if scheme != "http":
            yield f"{at}: predictors speak http, not {scheme}"
        if space != world.home:
            yield f"{at}: names the namespace {space}, and predictors are in {world.home}"
        if version not in url:
            yield f"{at} does not name its version: it is another one's"
        own = name.endswith("-predictor")
        if own and path not in (None, "", "/"):
            yield f"{at}: has the path {path}, to which the ranker adds its own; take it out"
        if own and port not in (None, "80"):
            yield f"{at}: port {port}: KServe's Service answers HTTP at 80; take it out"


def _databases(world: World) -> int:
    for manifest in world.of("ConfigMap"):
        match = re.search(
            r"^databases (\d+)\s*$", str((manifest.get("data") or {}).get("redis.conf")), re.M
        )
        if match:
            return int(match[1])
    return _DATABASES


def _redis(match: re.Match[str], option: str, databases: int) -> Iterator[str]:
    scheme, host, port, number = match.groups()
    ours = host.partition(".")[0] == "hemix-redis"
    if ours and scheme != "redis":
        yield "hemix-redis speaks no TLS: redis://"
    if ours and port not in (None, "6379"):
        yield f"hemix-redis has no port {port}: 6379"
    if number and not number.isdigit():
        yield f"{number!r} is no number of a database"
    elif number and int(number) >= databases:
        yield f"redis has the databases 0 to {databases - 1} (databases in redis.conf), no {number}"
    elif option == "--events" and int(number or 0) == _FEATURES:
        yield "database 0 is that of features, whose publication would remove events: another one, such as /1"


def _flink(world: World, host: str, port: str) -> Iterator[str]:
    name = host.partition(".")[0]
    service = next((s for s in world.services if s.name == name), None)
    if service is None:
        yield f"there is no Service {name}: hemix-flink:8081"
        return
    named = {str(p.get("port")): p.get("name") for p in service.ports}
    if named.get(port) != "rest":
        yield f"{service.title} has {named.get(port, 'nothing')} at {port}: jobs are sent to its port rest, 8081"


def _prometheus(address: str) -> Iterator[str]:
    match = re.match(r"https?://([^:/]+)(?::\d+)?(/.*)?$", address)
    if match is None:
        return  # said where triggers are looked at
    if "." not in match[1]:
        yield f"serverAddress {address}: KEDA asks from its own namespace, where no {match[1]} is: {match[1]}.NAMESPACE"
    if re.search(r"/(api|graph|metrics|query)\b", match[2] or ""):
        yield f"serverAddress {address}: KEDA adds /api/v1/query itself; take {match[2]} out"
