"""Kinds that passed of a third fresh set: components that no overlay has, dashboards, quotas, policies."""

from __future__ import annotations

import json
from typing import Any

from hemix.infra.check.mistakes.mistake import GONE, Mistake, mistake

_NOTIFY, _IDENTITY = "AlertmanagerConfig hemix", "NetworkPolicy cloud-identity"
_ROUTE, _HOOK = ("spec", "route"), ("spec", "receivers", 0, "webhookConfigs", 0)
_CIDR = ("spec", "egress", 0, "to", 0, "ipBlock", "cidr")
_QUOTA, _HARD = "ResourceQuota", ("spec", "hard")
_C0 = ("spec", "template", "spec", "containers", 0)
_BOARDS, _OWN = "ConfigMap hemix-dashboards", ("data", "own.json")
_NODE_POD = ("spec", "runtimePatches", 0, "trainingRuntimeSpec", "template", "spec", "replicatedJobs", 0,
             "template", "spec", "template", "spec")  # fmt: skip
_NS = 'namespace="hemix"'


def _board(query: str, unit: str = "short", legend: str = "", source: str = "${datasource}") -> str:
    """A dashboard of one panel."""
    target: dict[str, Any] = {"expr": query, "legendFormat": legend}
    panel = {"title": "own", "datasource": {"type": "prometheus", "uid": source}, "targets": [target],
             "fieldConfig": {"defaults": {"unit": unit}}}  # fmt: skip
    return json.dumps({"uid": "own", "panels": [panel]})


def _severity(kind: str, value: str) -> dict[str, str]:
    return {"name": "severity", "matchType": kind, "value": value}


FRESH_THIRD: tuple[Mistake, ...] = (
    # alerts on their way
    mistake("a route to no receiver", _NOTIFY, (*_ROUTE, "receiver"), "hemx", site="components"),
    mistake("a route without a receiver", _NOTIFY, (*_ROUTE, "receiver"), GONE, site="components"),
    mistake("no route at all", _NOTIFY, _ROUTE, GONE, site="components"),
    mistake("a severity that no alert has", _NOTIFY, (*_ROUTE, "matchers", 0), _severity("=", "page"), site="components"),
    mistake("two severities as one", _NOTIFY, (*_ROUTE, "matchers", 0), _severity("=", "critical|warning"), site="components"),
    mistake("severities that are left out", _NOTIFY, (*_ROUTE, "matchers", 0), _severity("!~", "critical|warning"), site="components"),
    mistake("a label that no alert has", _NOTIFY, (*_ROUTE, "matchers", 0, "name"), "level", site="components"),
    mistake("a matcher of no type", _NOTIFY, (*_ROUTE, "matchers", 0, "matchType"), "~", site="components"),
    mistake("a webhook's key by another name", _NOTIFY, (*_HOOK, "urlSecret", "key"), "address", site="components"),
    mistake("a webhook of another secret", _NOTIFY, (*_HOOK, "urlSecret", "name"), "notify", site="components"),
    mistake("a webhook in the clear", _NOTIFY, _HOOK, {"url": "https://chat.example.com/hook/x"}, site="components"),
    mistake("a receiver of no one", _NOTIFY, ("spec", "receivers", 0, "webhookConfigs"), [], site="components"),
    mistake("a mistyped field of a route", _NOTIFY, (*_ROUTE, "groupby"), ["alertname"], site="components"),
    mistake("a wait that is no duration", _NOTIFY, (*_ROUTE, "repeatInterval"), "12 hours", site="components"),
    mistake("an API that no operator serves", _NOTIFY, ("apiVersion",), "monitoring.coreos.com/v1", site="components"),
    # openings
    mistake("another address than the agent's", _IDENTITY, _CIDR, "169.254.170.2/32", site="components"),
    mistake("an address outside as the agent's", _IDENTITY, _CIDR, "203.0.113.7/32", site="components"),
    mistake("the agent at another port", _IDENTITY, ("spec", "egress", 0, "ports", 0, "port"), 8080, site="components"),
    mistake("another address than GKE's", _IDENTITY, _CIDR, "169.254.169.250/32", site="gke"),
    mistake("NodeLocal DNS elsewhere", "NetworkPolicy dns", ("spec", "egress", 1, "to", 0, "ipBlock", "cidr"), "169.254.25.10/32"),
    mistake("storage at a port for a shell", "NetworkPolicy storage-port", ("spec", "egress", 0, "ports", 0, "port"), 22, site="components"),
    mistake("storage's network without its half", "NetworkPolicy serving-storage", ("spec", "egress", 0, "to", 0, "ipBlock", "except"), ["169.254.0.0/16", "10.0.0.0/8"]),
    mistake("one address left out of all", "NetworkPolicy pipeline", ("spec", "egress", 1, "to", 0, "ipBlock", "except"), ["169.254.169.254/32"]),
    # quotas, probes, trainings
    mistake("a quota of no job", _QUOTA, (*_HARD, "count/jobs.batch"), "0"),
    mistake("a quota of no JobSet", _QUOTA, (*_HARD, "count/jobsets.jobset.x-k8s.io"), "0"),
    mistake("a quota of one result of a step", _QUOTA, (*_HARD, "count/workflowtaskresults.argoproj.io"), "1"),
    mistake("a quota of no scaler", _QUOTA, (*_HARD, "count/horizontalpodautoscalers.autoscaling"), "0"),
    mistake("a store that one late answer ends", "StatefulSet hemix-redis", (*_C0, "livenessProbe", "failureThreshold"), 1, (*_C0, "livenessProbe", "periodSeconds"), 30),
    mistake("a taint of another effect", "TrainJob", (*_NODE_POD, "tolerations"), [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}]),
    # dashboards
    mistake("a board of one Grafana's source", _BOARDS, _OWN, _board(f"sum(up{{{_NS}}})", source="PBFA97CFB590B2093")),
    mistake("a board of a label that its metric has not", _BOARDS, _OWN, _board(f'sum(hemix_stage_seconds_sum{{{_NS},variant="a"}})', "s")),
    mistake("a board of a label that its record lost", _BOARDS, _OWN, _board(f'namespace:hemix_errors:ratio_rate5m{{{_NS},version="x"}}', "percentunit")),
    mistake("a board of users by another word", _BOARDS, _OWN, _board(f'namespace_kind:hemix_unknown:share{{{_NS},kind="users"}}', "percentunit")),
    mistake("a board of a stage that is none", _BOARDS, _OWN, _board(f'namespace_stage:hemix_stage_seconds:p99_5m{{{_NS},stage="all"}}', "s")),
    mistake("a board of a status that is none", _BOARDS, _OWN, _board(f'sum(rate(hemix_requests_total{{{_NS},status=~"5xx"}}[5m]))', "reqps")),
    mistake("a board of a role that is none", _BOARDS, _OWN, _board(f'sum(up{{{_NS},role="rankers"}})')),
    mistake("a legend of a label that is summed away", _BOARDS, _OWN, _board(f"sum by (status) (rate(hemix_requests_total{{{_NS}}}[5m]))", "reqps", "{{version}}")),
    mistake("a legend of a sum of all", _BOARDS, _OWN, _board(f"sum(rate(hemix_requests_total{{{_NS}}}[5m]))", "reqps", "{{status}}")),
    mistake("a legend of a record's other label", _BOARDS, _OWN, _board(f"namespace_view:hemix_feature_age_seconds:min{{{_NS}}}", "s", "{{feature}}")),
    mistake("seconds as milliseconds", _BOARDS, _OWN, _board(f'namespace_stage:hemix_stage_seconds:p99_5m{{{_NS},stage="total"}}', "ms")),
    mistake("seconds as bytes", _BOARDS, _OWN, _board(f"namespace_view:hemix_feature_age_seconds:min{{{_NS}}}", "bytes")),
    mistake("bytes as a number", _BOARDS, _OWN, _board(f"sum(hemix_in_flight_bytes{{{_NS}}})", "short")),
    mistake("a share as percent", _BOARDS, _OWN, _board(f"namespace:hemix_errors:ratio_rate5m{{{_NS}}}", "percent")),
    mistake("requests as a share", _BOARDS, _OWN, _board(f"sum(rate(hemix_requests_total{{{_NS}}}[5m]))", "percentunit")),
)  # fmt: skip

FRESH_RIGHT: tuple[Mistake, ...] = (
    mistake("alerts that are critical alone", _NOTIFY, (*_ROUTE, "matchers", 0), _severity("=", "critical"), site="components"),
    mistake("alerts in a chat of Slack's", _NOTIFY, ("spec", "receivers", 0), {"name": "hemix", "slackConfigs": [
        {"apiURL": {"name": "hemix-notify", "key": "url"}, "channel": "#ranking"}]}, site="components"),
    mistake("storage at another port", "NetworkPolicy storage-port", ("spec", "egress", 0, "ports", 0, "port"), 9443, site="components"),
    mistake("a board of one's own", _BOARDS, _OWN, _board(f'1000 * namespace_stage:hemix_stage_seconds:p99_5m{{{_NS},stage=~"post|total"}}', "ms", "{{stage}}")),
    mistake("a board of bytes", _BOARDS, _OWN, _board(f"sum by (pod) (hemix_in_flight_bytes{{{_NS}}})", "bytes", "{{pod}}")),
    mistake("a toleration of GPUs by every effect", "TrainJob", (*_NODE_POD, "tolerations"), [{"key": "nvidia.com/gpu", "operator": "Exists"}]),
)  # fmt: skip
"""What operators change of the same, and no rule may refuse."""
