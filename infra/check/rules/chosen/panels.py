"""Panels of a dashboard: their source, labels and values that our programs write, legends, units."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.ours import series
from hemix.infra.check.rules.world import World

Manifest = dict[str, Any]
Labels = dict[str, frozenset[str]]
"""Series -> its labels."""
_SOURCES = ("${datasource}", "$datasource", "-- Grafana --", "-- Mixed --", "-- Dashboard --")
TARGET = frozenset(
    ["namespace", "pod", "role", "job", "instance", "container", "endpoint", "service"]
)
"""What Prometheus and the monitors write on every series of a pod."""
_CODES = frozenset(["200", *map(str, range(400, 600))])
_VALUES = {
    "role": frozenset(["ranker", "predictor"]),
    "kind": frozenset(["user", "item"]),
    "outcome": frozenset(["written", "dropped", "lost"]),
    "dependency": frozenset(["feature_store", "predictor"]),
}
"""All that our programs write under a label, whatever the metric."""
_BY = re.compile(r"\bby\s*\(([^)]*)\)")
_ALL = re.compile(r"\b(sum|max|min|avg|count|stddev|quantile)\s*\(")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_TIMES = ("s", "dtdurations", "dtdhms", "clocks")
_BYTES = ("bytes", "decbytes", "kbytes")
_SHARE = re.compile(r"ratio_rate|[:_](share|ratio)\b")


def problems(board: Manifest, known: Labels) -> Iterator[str]:
    """What Grafana takes and shows wrongly, or shows nothing of."""
    for panel in board.get("panels") or ():
        said = f"panel {panel.get('title')!r}"
        for holder in (panel, *(panel.get("targets") or ())):
            source = holder.get("datasource")
            uid = source.get("uid") if isinstance(source, dict) else source
            if source is not None and uid not in _SOURCES:
                yield f"{said}: datasource {uid!r}: another Grafana has no such source; must be ${{datasource}}, which its user chooses"
                break
        for target in panel.get("targets") or ():
            query = str(target.get("expr", ""))
            yield from (f"{said}: query {query!r}: {problem}" for problem in _asked(query, known))
            yield from (f"{said}: {problem}" for problem in _legend(target, query, known))
            unit = ((panel.get("fieldConfig") or {}).get("defaults") or {}).get("unit")
            yield from (f"{said}: unit {unit!r} of {query!r}: {problem}" for problem in _unit(unit, query))  # fmt: skip


def _asked(query: str, known: Labels) -> Iterator[str]:
    for name, chosen in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", query):
        if name not in known:
            continue  # another program's, or said where metrics are looked at
        for label, kind, value in _MATCHER.findall(chosen):
            if label not in known[name]:
                yield f"{name} carries no label {label}, only {', '.join(sorted(known[name]))}"
            elif "$" not in value and (written := _values(name, label)):
                hit = any(re.fullmatch(value, one) for one in written) if "~" in kind else value in written  # fmt: skip
                if not hit:
                    told = "an HTTP status" if written is _CODES else ", ".join(sorted(written))
                    yield f'{name} has no {label}{kind}"{value}": {told} is what our programs write'


def _values(name: str, label: str) -> frozenset[str]:
    if label == "status":
        return _CODES if "hemix_requests" in name else frozenset()
    if label == "stage":
        return _stages()
    return _VALUES.get(label, frozenset())


@functools.cache
def _stages() -> frozenset[str]:
    from hemix.serving.metrics import Stage

    return frozenset(typing.get_args(Stage))


def _legend(target: Manifest, query: str, known: Labels) -> Iterator[str]:
    kept: set[str] = set()
    if "without" in query or "label_replace" in query:
        return
    if found := _BY.findall(query):
        kept = {label for one in found for label in re.findall(r"\w+", one)}
    elif not _ALL.search(query):
        names = series(query.replace("$", ""))
        if not names <= set(known):
            return
        kept = {label for name in names for label in known[name]}
    for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", str(target.get("legendFormat") or "")):
        if label not in kept:
            told = (
                f"no label {label}, only {', '.join(sorted(kept))}" if kept else "no label at all"
            )
            yield f"legend {target['legendFormat']!r}: the query {query!r} keeps {told}"


def _unit(unit: Any, query: str) -> Iterator[str]:
    scaled, divided = re.search(r"\*\s*100|100\s*\*|1000\s*\*", query), "/" in query
    if unit is None or not query:
        return
    seconds = "_seconds" in query and not re.search(r"_seconds_(bucket|count)", query)
    if unit in _TIMES and "_seconds" not in query and "time()" not in query:
        yield "the query gives no seconds"
    elif unit in _BYTES and "_bytes" not in query:
        yield "the query gives no bytes"
    elif unit == "percentunit" and not divided and not _SHARE.search(query):
        yield "the query gives no share of 0 to 1"
    elif unit in ("percent", "ms") and not scaled:
        yield f"the query is not multiplied; {'percentunit' if unit == 'percent' else 's'}, or * {100 if unit == 'percent' else 1000}"
    elif seconds and not divided and not scaled and unit not in _TIMES:
        yield "the query gives seconds; s"
    elif "_bytes" in query and not divided and "rate(" not in query and unit not in _BYTES:
        yield "the query gives bytes; bytes"
    elif _SHARE.search(query) and not divided and not scaled and unit != "percentunit":
        yield "the query gives a share of 0 to 1; percentunit"


# ---- what there is ------------------------------------------------------------------------------


def labels(world: World) -> Labels:
    """The labels of every series of hemix: of its metrics, and of the rules' records."""
    found = dict(_of_metrics())
    for manifest in world.of("PrometheusRule"):
        for group in (manifest.get("spec") or {}).get("groups") or ():
            for rule in group.get("rules") or ():
                by = _BY.search(str(rule.get("expr", "")))
                if rule.get("record") and by:
                    kept = frozenset(re.findall(r"\w+", by[1])) - {"le"}
                    found[str(rule["record"])] = kept | set(rule.get("labels") or {})
    return found


@functools.cache
def _of_metrics() -> Labels:
    from prometheus_client import REGISTRY

    from hemix.serving import metrics

    found: Labels = {"up": TARGET}
    declared = {
        getattr(one, "_name", ""): frozenset(getattr(one, "_labelnames", ()))
        for one in vars(metrics).values()
    }
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for family in REGISTRY.collect():
        if family.name in declared:
            for end in endings.get(family.type, ("",)):
                more = {"le"} if end == "_bucket" else set()
                found[family.name + end] = TARGET | declared[family.name] | more
    return found
