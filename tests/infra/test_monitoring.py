"""Rules and dashboards name metrics that exist, alerts are tested and have a runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import hemix.serving.metrics  # registers them  # noqa: F401
from hemix.infra.check import prometheus
from hemix.infra.check.rules.ours import series as _series
from hemix.infra.monitoring import dashboards
from tests.infra.tools import need

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "monitoring"
OTHERS = {"up", "ALERTS", "kube_pod_status_phase", "kube_pod_created", "kube_pod_completion_time"}
"""Prometheus' own, and kube-state-metrics'."""


def _rules() -> list[dict[str, Any]]:
    names = ("rules-recording.yaml", "rules-alerts.yaml")
    return [yaml.safe_load((FOLDER / name).read_text()) for name in names]


def _each() -> Iterator[dict[str, Any]]:
    for rule in _rules():
        for group in rule["spec"]["groups"]:
            yield from group["rules"]


def _known() -> set[str]:
    """Series of serving/metrics.py, as Prometheus names them, and recorded ones."""
    found = set(OTHERS)
    for family in REGISTRY.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        found |= {family.name + end for end in endings.get(family.type, ("",))}
    return found | {rule["record"] for rule in _each() if "record" in rule}


def test_names_of_series_are_read() -> None:
    expr = (
        'histogram_quantile(0.99, sum by (le, pod) (rate(a_bucket{x="b"}[5m]))) > 0 and on (z) c:d'
    )
    assert _series(expr) == {"a_bucket", "c:d"}


@pytest.mark.slow
def test_rules_use_metrics_that_exist() -> None:
    for rule in _each():
        unknown = _series(rule["expr"]) - _known()
        assert not unknown, f"{rule.get('alert') or rule.get('record')}: {unknown}"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(dashboards.texts()))
def test_dashboards_use_metrics_that_exist(name: str) -> None:
    board = json.loads((FOLDER / "dashboards" / name).read_text())
    found = list(prometheus.expressions(board))
    assert len(found) > 8
    for panel, expr in found:
        assert not _series(expr) - _known(), f"{name}: {panel}"


def test_a_metric_that_does_not_exist_is_found() -> None:
    assert _series("sum(rate(hemix_requests[5m]))") - _known() == {"hemix_requests"}


@pytest.mark.parametrize("name", sorted(dashboards.texts()))
def test_dashboard_is_sound(name: str) -> None:
    """Fits a reader's screen: every panel has a text, a unit and a place of its own."""
    text = (FOLDER / "dashboards" / name).read_text()
    assert text == dashboards.texts()[name], "make dashboards writes them anew"
    board = json.loads(text)
    assert f"dashboards/{name}" in (FOLDER / "kustomization.yaml").read_text()
    taken: set[tuple[int, int]] = set()
    identities = [panel["id"] for panel in board["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        assert all(t["datasource"]["uid"] == "${datasource}" for t in panel["targets"])


def test_dashboards_parse_as_queries() -> None:
    need("promtool")
    for text in dashboards.texts().values():
        assert not prometheus.dashboard_problems(json.loads(text))
    bad = json.loads(next(iter(dashboards.texts().values())))
    bad["panels"][1]["targets"][0]["expr"] = "sum(("
    assert prometheus.dashboard_problems(bad)


@pytest.mark.slow
def test_rules_and_their_unit_tests_pass() -> None:
    need("promtool")
    assert not prometheus.problems(_rules(), prometheus.TESTS)


def test_every_alert_fires_once_in_the_unit_tests() -> None:
    tests = yaml.safe_load(prometheus.TESTS.read_text())["tests"]
    asked = [entry for test in tests for entry in test["alert_rule_test"]]
    fired = {entry["alertname"] for entry in asked if entry["exp_alerts"]}
    silent = {entry["alertname"] for entry in asked if not entry["exp_alerts"]}
    alerts = {rule["alert"] for rule in _each() if "alert" in rule}
    assert fired == alerts
    assert silent == alerts


def test_every_alert_has_a_runbook() -> None:
    runbook = ROOT / "docs" / "operator" / "runbook.md"
    text = runbook.read_text()
    titles = {title.strip().lower() for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    for rule in _each():
        if "alert" in rule:
            place = rule["annotations"]["runbook"]
            assert place == f"docs/operator/runbook.md#{rule['alert'].lower()}"
            assert rule["alert"].lower() in titles, rule["alert"]
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
