"""Monitors and alerts: what is loaded and then tells no one, or too late."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.world import World, title_of

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MOST_APART_S = 120
"""Alerts count over five minutes: two readings lie in them at least."""
LATEST_S = 7200
"""An alert that waits for longer comes after the night."""
_UP = re.compile(r"\bup\s*(\{[^}]*\})?")


def problems(world: World) -> Iterator[str]:
    """What Prometheus takes and no person hears of."""
    for manifest in world.of("ServiceMonitor"):
        for endpoint in (manifest.get("spec") or {}).get("endpoints") or ():
            if seconds(endpoint.get("interval")) > MOST_APART_S:
                yield f"{title_of(manifest)}: reads every {endpoint['interval']}; alerts count over 5m"
            if endpoint.get("scheme", "http") != "http":
                yield f"{title_of(manifest)}: asks over {endpoint['scheme']}, and pods speak http"
    for manifest in world.of("PrometheusRule"):
        for group in (manifest.get("spec") or {}).get("groups") or ():
            for rule in group.get("rules") or ():
                if rule.get("alert"):
                    told = f"{title_of(manifest)}: {rule['alert']}"
                    yield from (f"{told} {problem}" for problem in _alert(rule))


def _alert(rule: dict[str, Any]) -> Iterator[str]:
    if seconds(rule.get("for")) > LATEST_S:
        yield f"waits for {rule['for']}"
    for chosen in _UP.findall(str(rule.get("expr"))):
        if "role=" not in chosen:
            yield "asks who is up by another label than role, which the monitors write"


def seconds(text: Any) -> float:
    """A duration as Prometheus writes them; 0 for none."""
    return float(
        sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdw])", str(text or "")))
    )
