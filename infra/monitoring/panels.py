"""Building blocks of a Grafana dashboard: figures, curves, rows, the frame around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

SCHEMA = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
NS = 'namespace="$namespace"'
"""Label matcher of the dashboard's namespace."""
Panel = dict[str, Any]
Level = tuple[float, str]
"""From which value on a figure has which colour."""


def _targets(queries: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": expr,
            "legendFormat": legend,
            "range": True,
        }
        for number, (expr, legend) in enumerate(queries)
    ]


def _thresholds(levels: Iterable[Level], base: str) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in levels]
    return {"mode": "absolute", "steps": [{"value": None, "color": base}, *steps]}


def stat(
    title: str,
    description: str,
    expr: str,
    unit: str,
    levels: Iterable[Level] = (),
    *,
    decimals: int | None = None,
    base: str = "green",
) -> Panel:
    """One figure in large type, coloured by its level.

    Args:
        title: of the panel.
        description: what it says and what to do, in the panel's corner.
        expr: PromQL.
        unit: Grafana's name of the unit.
        levels: values from which another colour holds.
        decimals: digits after the point; None: Grafana's choice.
        base: colour below the first level.
    """
    defaults: dict[str, Any] = {
        "unit": unit,
        "thresholds": _thresholds(levels, base),
        "noValue": "no data",
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    return {
        "type": "stat",
        "title": title,
        "description": description,
        "targets": _targets([(expr, "")]),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value",
        },
    }


def lines(
    title: str,
    description: str,
    queries: Iterable[tuple[str, str]],
    unit: str,
    *,
    limit: float | None = None,
    stack: bool = False,
    scale: Literal["linear", "log"] = "linear",
    floor: float | None = 0,
) -> Panel:
    """Curves over time.

    Args:
        title: of the panel.
        description: what it says and what to do, in the panel's corner.
        queries: ``(PromQL, legend)`` of each curve.
        unit: Grafana's name of the unit.
        limit: where an alert fires, drawn as a dashed line; None: nowhere.
        stack: curves on top of each other.
        scale: of the y axis.
        floor: its lower end; None: what the data say.
    """
    custom: dict[str, Any] = {
        "drawStyle": "line",
        "lineWidth": 2,
        "fillOpacity": 30 if stack else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "scaleDistribution": {"type": "log", "log": 10} if scale == "log" else {"type": "linear"},
        "thresholdsStyle": {"mode": "dashed" if limit is not None else "off"},
    }
    defaults: dict[str, Any] = {
        "unit": unit,
        "custom": custom,
        "color": {"mode": "palette-classic"},
        "thresholds": _thresholds([(limit, "red")] if limit is not None else [], "green"),
    }
    if floor is not None and scale == "linear":
        defaults["min"] = floor
    return {
        "type": "timeseries",
        "title": title,
        "description": description,
        "targets": _targets(queries),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {
                "displayMode": "table",
                "placement": "right",
                "calcs": ["lastNotNull", "max"],
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def row(title: str) -> Panel:
    """A heading; the panels after it belong to it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def _placed(rows: Iterable[tuple[str, int, list[Panel]]]) -> Iterator[Panel]:
    """Panels of each row side by side over Grafana's 24 columns, ``height`` units high."""
    y = 0
    number = 0
    for title, height, panels in rows:
        number += 1
        yield {**row(title), "id": number, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        y += 1
        for column, panel in enumerate(panels):
            number += 1
            left, right = (24 * edge // len(panels) for edge in (column, column + 1))
            place = {"x": left, "y": y, "w": right - left, "h": height}
            yield {**panel, "id": number, "datasource": _SOURCE, "gridPos": place}
        y += height


def dashboard(
    uid: str, title: str, description: str, rows: Iterable[tuple[str, int, list[Panel]]]
) -> dict[str, Any]:
    """A Grafana dashboard as JSON.

    Args:
        uid: its fixed id, part of its address.
        title: its name.
        description: what it is for.
        rows: ``(title, height of the panels, panels)`` of each row.
    """
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["hemix"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "links": [
            {
                "type": "dashboards",
                "tags": ["hemix"],
                "title": "hemix",
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                },
                {
                    "name": "namespace",
                    "label": "Namespace",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(hemix_requests_total, namespace)",
                    "refresh": 2,
                    "sort": 1,
                },
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "datasource": _SOURCE,
                    "expr": 'ALERTS{alertname=~"Hemix.*",alertstate="firing",namespace=~"$namespace|"}',
                    "titleFormat": "{{alertname}}",
                    "iconColor": "red",
                }
            ]
        },
        "panels": list(_placed(rows)),
    }
