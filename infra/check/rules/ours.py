"""What our own programs ask: arguments that they take, labels that we look for, figures that exist."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from hemix.cli.main import app
from hemix.errors import HemixError
from hemix.infra.check.rules.custom import kserve
from hemix.infra.check.rules.world import Pod, World, title_of
from hemix.serving.two_roles.routing_table import parse_predictors
from hemix.texts.meant import meant

Manifest = dict[str, Any]
_PATHS = re.compile(r"^/v[12]/models/[a-z]|^/[a-z][-a-z0-9]*$")
"""What a route may let in: models, or an inner gateway's name of a version; never ``/metrics``."""
_EVENTS = "/v1/events"
"""Let in beside models where the ranker takes live events."""
_OURS = {
    "app.kubernetes.io/name": "hemix",
    "app.kubernetes.io/managed-by": "hemix",
    "networking.kserve.io/visibility": "cluster-local",
}
_ROLES = ("ranker", "predictor")
_SHELL = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)")
_EXPANDED = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_OPERATORS = {"and", "or", "unless", "bool", "by", "on", "ignoring", "without", "group_left",
              "group_right", "inf", "nan", "offset"}  # fmt: skip


def problems(world: World) -> Iterator[str]:
    """What no controller would say and our programs would trip over."""
    for pod in world.pods:
        if pod.maker != "kfp":
            yield from (f"{pod.title}: {problem}" for problem in _pod(pod))
    for manifest in world.of("InferenceService"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _service(manifest))
    for manifest in world.of("HTTPRoute"):
        for path in _let_in(manifest):
            if path != _EVENTS or not _takes_events(world):
                yield f"{title_of(manifest)}: lets {path} in, and more than models with it"
    for manifest in world.of("ConfigMap"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _config(manifest))
    yield from _figures(world)


def _takes_events(world: World) -> bool:
    """True when pods of ours keep live events."""
    containers = (c for pod in world.pods for c in pod.spec.get("containers", ()))
    return any("--events" in container.get("args", ()) for container in containers)


# ---- pods ---------------------------------------------------------------------------------------


def _pod(pod: Pod) -> Iterator[str]:
    spec = pod.spec
    context = spec.get("securityContext") or {}
    claims = [
        v for v in spec.get("volumes") or () if {"persistentVolumeClaim", "ephemeral"} & set(v)
    ]
    if claims and not context.get("fsGroup"):
        yield "mounts a volume that its user cannot write: no fsGroup"
    keys = {
        t.get("key")
        for t in spec.get("tolerations") or ()
        if t.get("effect", "NoSchedule") in ("", "NoSchedule")  # the taint of nodes with a device
    }
    for container in spec.get("containers") or ():
        at = f"container {container.get('name')}"
        limits = (container.get("resources") or {}).get("limits") or {}
        for device in (name for name in limits if "/" in name and name not in keys):
            yield f"{at}: asks for {device} and does not tolerate the taint of its nodes (tolerations: {{key: {device}, operator: Exists, effect: NoSchedule}})"
        if container.get("imagePullPolicy") == "Never":
            yield f"{at}: its image is never pulled"
        yield from (f"{at}: {problem}" for problem in _words(container))
        if container.get("command") == ["hemix"]:
            yield from (f"{at}: {problem}" for problem in _hemix(container))


def _words(container: Manifest) -> Iterator[str]:
    """Variables that a command names are set."""
    known = {variable.get("name") for variable in container.get("env") or ()}
    words = [str(w) for w in (*(container.get("command") or ()), *(container.get("args") or ()))]
    for word in words:
        for name in _EXPANDED.findall(word):
            if name not in known and not name.startswith("PET_") and name.isupper():
                yield f"nothing sets $({name})"
    if container.get("command", [""])[0] == "sh":
        for name in {n for word in words for n in _SHELL.findall(word)} - known:
            yield f"nothing sets ${name}"


def _hemix(container: Manifest) -> Iterator[str]:
    """``hemix serve`` takes its arguments, and listens where the pod says."""
    words = [str(word) for word in container.get("args") or ()]
    if problem := _parsed(tuple(words)):
        yield problem
        return
    told = dict(itertools.pairwise(words))
    ports = [str(port.get("containerPort")) for port in container.get("ports") or ()]
    for option, place in (("--port", 0), ("--grpc-port", 1)):
        if option in told and told[option] != (ports[place] if place < len(ports) else None):
            yield f"hemix listens at {told[option]} ({option}), and the container says {ports}"
    if told.get("--host") not in (None, "0.0.0.0"):
        yield f"hemix listens at {told['--host']}, where no one else reaches it"
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        get = (container.get(kind) or {}).get("httpGet") or {}
        path = str(get.get("path", ""))
        if get and not re.match(r"^/v2/(health/(live|ready)|models/[^/]+/ready)$", path):
            yield f"{kind}: hemix answers nothing at {path}"
        if get and ports and str(get.get("port")) != ports[0]:
            yield f"{kind}: port {get.get('port')} is not the HTTP port {ports[0]}"


@functools.cache
def _parsed(words: tuple[str, ...]) -> str:
    """What the command's own parser says of its arguments; empty when it takes them."""
    import typer
    from typer.exceptions import TyperException

    command: Any = typer.main.get_command(app)
    if not words or words[0] not in command.commands:
        return f"hemix has no command {words[0] if words else ''!r}"
    try:
        command.commands[words[0]].make_context(words[0], list(words[1:]))
    except TyperException as error:
        return f"hemix {words[0]}: {error}"
    return ""


# ---- objects ------------------------------------------------------------------------------------


def _service(manifest: Manifest) -> Iterator[str]:
    labels = manifest["metadata"].get("labels") or {}
    for key, value in _OURS.items():
        if labels.get(key) != value:
            yield f"label {key} is {labels.get(key)!r}, not {value!r}"
    if not labels.get("hemix/deployment"):
        yield "label hemix/deployment is missing: hemix deploy would not know it again"
    role = labels.get("app.kubernetes.io/component")
    if role not in _ROLES:
        yield f"label app.kubernetes.io/component is {role!r}: no policy and no monitor means its pods"
    for where, predictor in kserve.predictors(manifest):
        if predictor.get("minReplicas", 1) < 1:
            yield f"{where}: without pods users get nothing"


def _let_in(manifest: Manifest) -> Iterator[str]:
    for rule in manifest["spec"].get("rules") or ():
        matches: list[Manifest] = rule.get("matches") or [{}]
        for match in matches:
            path = str((match.get("path") or {}).get("value", "/"))
            if not _PATHS.match(path) or path.startswith("/metrics"):
                yield path


def _config(manifest: Manifest) -> Iterator[str]:
    for key, text in (manifest.get("data") or {}).items():
        try:
            if key == "predictors.yaml":
                parse_predictors(str(text), where=key)
            elif key.endswith(".json"):
                json.loads(text)
            elif key.endswith((".yaml", ".yml")):
                yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except HemixError as error:
            yield error.message
        except (ValueError, TypeError, yaml.YAMLError) as error:
            yield f"{key}: cannot be read ({error})"


# ---- figures ------------------------------------------------------------------------------------


def series(expr: str) -> set[str]:
    """Names of series in a query: what is neither called nor a label nor a keyword."""
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    names = re.findall(r"(?<![\w.])[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b", bare)
    return {n for n in names if not re.search(rf"\b{n}\s*\(", bare)} - _OPERATORS


@functools.cache
def told() -> frozenset[str]:
    """Series of the serving processes, as Prometheus names them, and of programs beside them."""
    from prometheus_client import REGISTRY

    import hemix.serving.metrics  # registers them  # noqa: F401

    found = {
        "up",
        "ALERTS",
        "kube_pod_status_phase",
        "kube_pod_created",
        "kube_pod_completion_time",
    }
    for family in REGISTRY.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        found |= {family.name + end for end in endings.get(family.type, ("",))}
    return frozenset(found)


def _near(name: str, known: frozenset[str]) -> str:
    found = meant(name, known, cutoff=0.8)
    return f" (there is {found[0]})" if found else ""


@functools.cache
def _shown(dashboard: str) -> frozenset[str]:
    """Series that a dashboard's panels ask for; none of what cannot be read, which is said elsewhere."""
    try:
        found = json.loads(dashboard)
    except ValueError:
        return frozenset()
    queries = [t.get("expr", "") for p in found["panels"] for t in p.get("targets") or ()]
    return frozenset(name for query in queries for name in series(query.replace("$", "")))


def _figures(world: World) -> Iterator[str]:
    rules = [
        (title_of(m), rule)
        for m in world.of("PrometheusRule")
        for group in m["spec"].get("groups") or ()
        for rule in group.get("rules") or ()
    ]
    known = told() | {str(rule["record"]) for _, rule in rules if rule.get("record")}
    for title, rule in rules:
        for name in sorted(series(str(rule.get("expr", ""))) - known):
            yield f"{title}: {rule.get('alert') or rule.get('record')}: there is no metric {name}{_near(name, known)}"
    for manifest in world.of("ConfigMap"):
        for key, text in (manifest.get("data") or {}).items():
            if key.endswith(".json") and '"panels"' in text:
                for name in sorted(_shown(text) - known):
                    yield f"{title_of(manifest)}: {key}: there is no metric {name}{_near(name, known)}"
    for manifest in world.of("ScaledObject"):
        for trigger in manifest["spec"].get("triggers") or ():
            query = str((trigger.get("metadata") or {}).get("query", ""))
            for name in sorted(series(query) - known):
                yield f"{title_of(manifest)}: there is no metric {name}{_near(name, known)}"
            if query and f'namespace="{world.home}"' not in query:
                yield f"{title_of(manifest)}: its query counts other namespaces too"
