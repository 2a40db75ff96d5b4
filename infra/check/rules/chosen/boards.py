"""Dashboards in ConfigMaps: found by Grafana, one identity each, queries that can be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.chosen import panels
from hemix.infra.check.rules.ours import series, told
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
_GRAFANA = ("interval", "range", "from", "to", "rate_interval", "datasource")


def problems(world: World) -> Iterator[str]:
    """What Grafana takes and then shows nothing of."""
    seen: dict[str, str] = {}
    known = panels.labels(world)
    for manifest in world.of("ConfigMap"):
        if "grafana_dashboard" not in (manifest["metadata"].get("labels") or {}):
            continue
        for key, text in (manifest.get("data") or {}).items():
            at = f"{title_of(manifest)}: {key}"
            if not key.endswith(".json"):
                yield f"{at}: Grafana's sidecar reads files that end in .json only; rename it"
                continue
            try:
                board = json.loads(text)
            except ValueError:
                continue  # said where files are read
            if not isinstance(board, dict) or not board.get("panels"):
                yield f"{at}: has no panels"
                continue
            uid = str(board.get("uid"))
            if uid in seen or not board.get("uid"):
                yield f"{at}: uid {uid} is that of {seen.get(uid, 'none')}: Grafana keeps one of them; another uid"
            seen[uid] = key
            yield from (f"{at}: {problem}" for problem in _queries(board))
            yield from (f"{at}: {problem}" for problem in panels.problems(board, known))


def _queries(board: Manifest) -> Iterator[str]:
    variables = (board.get("templating") or {}).get("list") or ()
    known = {str(one.get("name")) for one in variables}
    for one in variables:
        asked = re.match(r"label_values\((hemix_\w+)", str(one.get("query", "")))
        if asked and asked[1] not in told():
            yield f"variable {one.get('name')}: query {one['query']!r}: there is no metric {asked[1]}"
    for panel in board["panels"]:
        for target in panel.get("targets") or ():
            query = str(target.get("expr", ""))
            said = f"panel {panel.get('title')!r}: query {query!r}"
            for pair in ("()", "{}", "[]"):
                if query.count(pair[0]) != query.count(pair[1]):
                    yield f"{said} has not as many {pair[0]} as {pair[1]}"
            for name in re.findall(r"\$\{?(\w+)", query):
                if name not in known and not name.startswith("__") and name not in _GRAFANA:
                    yield f"{said}: there is no variable ${name} (templating), only {', '.join(sorted(known))}"
            if not series(query.replace("$", "")):
                yield f"{said} asks for no metric"
