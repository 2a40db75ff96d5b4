"""Gateway API, KEDA and the Prometheus operator: rules that their definitions do not hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hemix.infra.check.rules.own import mend, own
from hemix.infra.check.rules.values import (
    DURATION,
    at_least,
    doubles,
    is_port,
    labels,
    one_of,
    selector,
)

Manifest = dict[str, Any]
_TRIGGERS = {
    "cpu": ("value",),
    "memory": ("value",),
    "prometheus": ("serverAddress", "query", "threshold"),
    "cron": ("timezone", "start", "end", "desiredReplicas"),
    "redis": ("listName", "listLength"),
    "kafka": ("bootstrapServers", "consumerGroup", "topic"),
}
"""KEDA's triggers that could be meant here, and what each cannot do without."""
RELEASE = "release"
_COMPONENT = "app.kubernetes.io/component"
_CLASSES = {"eg", "istio", "cilium", "contour", "traefik", "nginx", "kong", "envoy-gateway",
            "openshift-default", "gke-l7-global-external-managed", "gke-l7-rilb",
            "azure-alb-external", "amazon-alb"}  # fmt: skip
"""GatewayClasses that known controllers bring; another one stands in infra/kustomize/own.yaml."""
_PORTS = {"HTTP": (80, 8080), "HTTPS": (443, 8443)}
_SEVERITIES = ("critical", "warning", "info")


def problems(manifest: Manifest) -> Iterator[str]:
    """What holds for one object by itself."""
    rule = _RULES.get(str(manifest.get("kind")))
    if rule is not None:
        yield from rule(manifest, manifest.get("spec") or {})


def _gateway(_: Manifest, spec: Manifest) -> Iterator[str]:
    if spec.get("gatewayClassName") not in {*_CLASSES, *own().gateway_classes}:
        yield f"spec.gatewayClassName: {spec.get('gatewayClassName')!r} is no class known here: overlays name the controller's; {mend('gateway_classes')}"
    listeners = spec.get("listeners") or ()
    if not listeners:
        yield "spec.listeners: is empty"
    yield from doubles("spec.listeners", "the name", [one.get("name") for one in listeners])
    places = [(one.get("port"), one.get("protocol"), one.get("hostname")) for one in listeners]
    yield from doubles("spec.listeners", "port, protocol and host", places)
    for one in listeners:
        at = f"spec.listeners {one.get('name')}"
        protocol, tls = one.get("protocol"), one.get("tls")
        yield from one_of(f"{at}.protocol", protocol, ("HTTP", "HTTPS", "TLS", "TCP", "UDP"))
        if not is_port(one.get("port")) or one["port"] not in _PORTS.get(str(protocol), (one["port"],)):  # fmt: skip
            yield f"{at}: {protocol} at port {one.get('port')!r}, where no user looks"
        if protocol in ("HTTPS", "TLS") and not tls:
            yield f"{at}: {protocol} without tls"
        if protocol in ("HTTP", "TCP", "UDP") and tls:
            yield f"{at}: {protocol} with tls"
        if protocol == "HTTPS" and tls and tls.get("mode", "Terminate") != "Terminate":
            yield f"{at}: HTTPS ends here: tls.mode is Terminate"
        if tls and tls.get("mode", "Terminate") == "Terminate" and not tls.get("certificateRefs"):
            yield f"{at}: tls without a certificate"
        for reference in (tls or {}).get("certificateRefs") or ():
            if reference.get("group", "") != "" or reference.get("kind", "Secret") != "Secret":
                yield f"{at}: the certificate is no Secret: {reference}"
        come = ((one.get("allowedRoutes") or {}).get("namespaces") or {}).get("from", "Same")
        if come != "Same":
            yield f"{at}: routes of other namespaces may attach ({come})"
        for kind in (one.get("allowedRoutes") or {}).get("kinds") or ():
            if kind.get("kind") == "HTTPRoute" and protocol not in ("HTTP", "HTTPS"):
                yield f"{at}: HTTPRoutes at {protocol}"


def _route(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    if not spec.get("parentRefs"):
        yield "spec.parentRefs: is empty: no one comes in"
    yield from doubles("spec.hostnames", "host", spec.get("hostnames") or ())
    if not spec.get("rules"):
        yield "spec.rules: leads nowhere"
    seen: list[tuple[Any, ...]] = []
    for number, rule in enumerate(spec.get("rules") or ()):
        at = f"spec.rules[{number}]"
        matches = rule.get("matches") or ()
        seen += [
            (repr(m.get("headers")), m.get("method"), repr(m.get("queryParams")),
             (m.get("path") or {}).get("type", "PathPrefix"), (m.get("path") or {}).get("value"))
            for m in matches
        ]  # fmt: skip
        # Between ranker and predictors the ranker's own deadline ends a request.
        users = (manifest["metadata"].get("labels") or {}).get(_COMPONENT) == "ranker"
        if users and not (rule.get("timeouts") or {}).get("request"):
            yield f"{at}.timeouts: the gateway's own time for a request, whatever it is"
        for match in matches:
            path = match.get("path") or {}
            value = str(path.get("value", "/"))
            odd = not value.startswith("/") or "//" in value or "/../" in value
            if odd and path.get("type", "PathPrefix") != "RegularExpression":
                yield f"{at}: path {value!r}"
            yield from one_of(f"{at}.path.type", path.get("type"), ("Exact", "PathPrefix", "RegularExpression"))  # fmt: skip
        filters = rule.get("filters") or ()
        yield from doubles(f"{at}.filters", "filter", [f.get("type") for f in filters])
        for one in filters:
            kind = (one.get("urlRewrite") or one.get("requestRedirect") or {}).get("path") or {}
            if kind.get("type") == "ReplacePrefixMatch" and [
                (m.get("path") or {}).get("type", "PathPrefix") for m in matches
            ] != ["PathPrefix"]:
                yield f"{at}: ReplacePrefixMatch needs one PathPrefix to replace"
        redirects = any(f.get("type") == "RequestRedirect" for f in filters)
        backends = rule.get("backendRefs") or ()
        if not backends and not redirects:
            yield f"{at}.backendRefs: is empty: 500 for everyone"
        for backend in backends:
            if backend.get("kind", "Service") == "Service" and not is_port(backend.get("port")):
                yield f"{at}: backend {backend.get('name')} without a port"
        names = [(b.get("name"), b.get("port")) for b in backends]
        yield from doubles(f"{at}.backendRefs", "backend", names)
        if backends and sum(b.get("weight", 1) for b in backends) == 0:
            yield f"{at}: all weights are 0: 500 for everyone"
        times = rule.get("timeouts") or {}
        for key, value in times.items():
            if not re.match(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$", str(value)):
                yield f"{at}.timeouts.{key}: {value!r} is no duration"

    yield from doubles("spec.rules", "match", seen)


def _scaled(_: Manifest, spec: Manifest) -> Iterator[str]:
    target = spec.get("scaleTargetRef") or {}
    if not target.get("name"):
        yield "spec.scaleTargetRef.name: is missing"
    low, high = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    if low > high:
        yield f"spec.minReplicaCount: {low} is above maxReplicaCount {high}"
    for key, most in (("pollingInterval", 60), ("cooldownPeriod", 1800)):
        if isinstance(spec.get(key), int) and spec[key] > most:
            yield f"spec.{key}: {spec[key]} s are longer than a peak"
    for key in ("minReplicaCount", "maxReplicaCount", "cooldownPeriod", "idleReplicaCount"):
        yield from at_least(f"spec.{key}", spec.get(key), 0)
    if spec.get("idleReplicaCount", -1) >= max(low, 1):
        yield "spec.idleReplicaCount: is not below minReplicaCount"
    yield from at_least("spec.pollingInterval", spec.get("pollingInterval"), 1)
    triggers = spec.get("triggers") or ()
    if not triggers:
        yield "spec.triggers: is empty"
    names = [t["name"] for t in triggers if t.get("name")]
    yield from doubles("spec.triggers", "trigger", names)
    for number, trigger in enumerate(triggers):
        at = f"spec.triggers[{number}]"
        kind, told = trigger.get("type"), trigger.get("metadata") or {}
        if kind not in _TRIGGERS:
            yield f"{at}: {kind!r} is no trigger of KEDA's that is known here"
            continue
        for key in _TRIGGERS[kind]:
            if not str(told.get(key, "")):
                yield f"{at}: {kind} without {key}"
        for key in ("threshold", "value", "activationThreshold"):
            if key in told and not _positive(told[key], zero=key == "activationThreshold"):
                yield f"{at}: {key} {told[key]!r} is no number above 0"
        address = told.get("serverAddress")
        if address is not None and not re.match(r"^https?://[^/\s]+", str(address)):
            yield f"{at}: serverAddress {address!r} is no address"
        if kind in ("cpu", "memory") and not trigger.get("metricType"):
            yield f"{at}: {kind} without metricType"
        if "serverAddress" in told and spec.get("fallback") is None:
            yield f"{at}: nothing is said of the time when Prometheus does not answer (fallback)"
        query = str(told.get("query", ""))
        if query.count("(") != query.count(")") or query.count("{") != query.count("}"):
            yield f"{at}: query {query!r} is not whole"
        kinds = (
            ("Utilization", "AverageValue")
            if kind in ("cpu", "memory")
            else ("AverageValue", "Value")
        )
        yield from one_of(f"{at}.metricType", trigger.get("metricType"), kinds)
    if all(t.get("type") in ("cpu", "memory") for t in triggers) and low == 0 and triggers:
        yield "spec: CPU cannot wake what has no pod"
    fallback = spec.get("fallback")
    if fallback is not None:
        if fallback.get("failureThreshold", -1) < 0 or fallback.get("replicas", -1) < 0:
            yield "spec.fallback: failureThreshold and replicas are at least 0"
        if any(t.get("type") in ("cpu", "memory") for t in triggers):
            yield "spec.fallback: is not for CPU and memory"
        known = ("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower")
        yield from one_of("spec.fallback.behavior", fallback.get("behavior"), known)


def _positive(value: Any, *, zero: bool) -> bool:
    try:
        return float(value) > 0 or (zero and float(value) == 0)
    except (TypeError, ValueError):
        return False


def _monitor(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    yield from _loaded(manifest)
    yield from selector("spec.selector", spec.get("selector"))
    if not (spec.get("selector") or {}).get("matchLabels"):
        yield "spec.selector: means every Service"
    endpoints = spec.get("endpoints") or spec.get("podMetricsEndpoints") or ()
    if not endpoints:
        yield "spec.endpoints: is empty"
    places = [(e.get("port"), e.get("targetPort"), e.get("path")) for e in endpoints]
    yield from doubles("spec.endpoints", "endpoint", places)
    for number, end in enumerate(endpoints):
        at = f"spec.endpoints[{number}]"
        if not end.get("port") and not end.get("targetPort"):
            yield f"{at}: neither port nor targetPort"
        for key in ("interval", "scrapeTimeout"):
            if key in end and not DURATION.match(str(end[key])):
                yield f"{at}.{key}: {end[key]!r} is no duration"
        if "scrapeTimeout" in end and not _seconds(end["scrapeTimeout"]) >= 1:
            yield f"{at}.scrapeTimeout: {end['scrapeTimeout']!r} is too short to read anything"
        if _seconds(end.get("interval", "30s")) < 5:
            yield f"{at}.interval: {end['interval']!r} is more often than figures change"
        if _seconds(end.get("scrapeTimeout", "0s")) > _seconds(end.get("interval", "30s")):
            yield f"{at}: scrapeTimeout is above interval"
        yield from one_of(f"{at}.scheme", end.get("scheme"), ("http", "https", "HTTP", "HTTPS"))
        if end.get("path", "/metrics") != "/metrics":
            yield f"{at}: our pods tell their figures at /metrics, not at {end['path']}"
        roles = [r for r in end.get("relabelings") or () if r.get("targetLabel") == "role"]
        wanted = (spec["selector"].get("matchLabels") or {}).get("app.kubernetes.io/component")
        if [r.get("replacement") for r in roles] != [wanted]:
            if wanted is None:
                yield "spec.selector: says no app.kubernetes.io/component, ranker or predictor: requests would count twice"
            else:
                yield f"{at}: relabelings must set the label role to {wanted}, by which alerts count: {{targetLabel: role, replacement: {wanted}}}"


def _seconds(text: Any) -> float:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
    parts = re.findall(r"([0-9]+)(ms|[smhdwy])", str(text))
    return sum(int(number) * units[unit] for number, unit in parts)


def _loaded(manifest: Manifest) -> Iterator[str]:
    """kube-prometheus-stack reads only what carries its release's name."""
    if not (manifest["metadata"].get("labels") or {}).get(RELEASE):
        yield f"metadata.labels: without {RELEASE} kube-prometheus-stack does not read it"


def _rule(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    yield from _loaded(manifest)
    groups = spec.get("groups") or ()
    if not groups:
        yield "spec.groups: is empty"
    yield from doubles("spec.groups", "group", [group.get("name") for group in groups])
    for group in groups:
        at = f"group {group.get('name')}"
        if "interval" in group and not DURATION.match(str(group["interval"])):
            yield f"{at}: interval {group['interval']!r} is no duration"
        for rule in group.get("rules") or ():
            yield from _one_rule(at, rule)


def _one_rule(at: str, rule: Manifest) -> Iterator[str]:
    name = rule.get("alert") or rule.get("record")
    at = f"{at}, {name}"
    if bool(rule.get("alert")) == bool(rule.get("record")):
        yield f"{at}: is neither an alert nor a record, or both"
    expr = str(rule.get("expr", "")).strip()
    if not expr or any(expr.count(a) != expr.count(b) for a, b in ("()", "{}", "[]")):
        yield f"{at}: {expr!r} is no query"
    for key in ("for", "keep_firing_for"):
        if key in rule and not DURATION.match(str(rule[key])):
            yield f"{at}.{key}: {rule[key]!r} is no duration"
    yield from labels(
        at, {k: v for k, v in (rule.get("labels") or {}).items() if "{{" not in str(v)}
    )
    if rule.get("record"):
        if not re.match(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", str(rule["record"])):
            yield f"{at}: {rule['record']!r} is no metric's name"
        if "for" in rule:
            yield f"{at}: a record has no for"
    if rule.get("alert"):
        if (rule.get("labels") or {}).get("severity") not in _SEVERITIES:
            yield f"{at}: its severity is none of {', '.join(_SEVERITIES)}: no one is told"
        told = rule.get("annotations") or {}
        for key in ("summary", "runbook"):
            if not told.get(key):
                yield f"{at}: has no {key}"
        anchor = f"docs/operator/runbook.md#{str(rule['alert']).lower()}"
        ours = str(told.get("runbook", anchor))
        if ours != anchor and not re.match(r"https?://[^/\s]+/\S", ours):
            yield f"{at}: its runbook is {ours}, not {anchor} or a page of your own, https://..."


Rule = Callable[[Manifest, Manifest], Iterator[str]]
_RULES: dict[str, Rule] = {
    "Gateway": _gateway,
    "HTTPRoute": _route,
    "ScaledObject": _scaled,
    "ServiceMonitor": _monitor,
    "PodMonitor": _monitor,
    "PrometheusRule": _rule,
}
