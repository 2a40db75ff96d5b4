"""Times and numbers of attempts: of probes, trainings, rules; shares and seconds that alerts compare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.working.watching import seconds
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
LEAST_JOIN_S = 300
"""Nodes that come last still pull gigabytes of an image."""
LEAST_TRAINING_S = 600
MOST_DELAY_S = 600
MOST_APART_S = 300
_SHARE = re.compile(r"(ratio_rate\w+|:share|_share\b)[^><=]*[<>]=?\s*([\d.]+)(\s*\*\s*([\d.]+))?")
_SECONDS = re.compile(r"hemix_stage_seconds:\w+[^><]*[<>]=?\s*([\d.]+)")


def problems(world: World) -> Iterator[str]:
    """What is given up too early, begun too late, or compared in another unit."""
    for pod in world.pods:
        if pod.maker == "kfp":
            continue
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if isinstance(grace, int) and grace < (30 if pod.maker == "trainer" else 10):
            yield f"{pod.title}: terminationGracePeriodSeconds {grace}: it is killed before it has written what it holds; at least {30 if pod.maker == 'trainer' else 10}"
        if isinstance(grace, int) and grace > 3600:
            yield f"{pod.title}: terminationGracePeriodSeconds {grace}: a hung pod keeps its node for that long; at most 3600"
        for container in pod.spec.get("containers") or ():
            at = f"{pod.title}: container {container.get('name')}"
            for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
                probe = container.get(kind) or {}
                yield from (f"{at}: {kind}{problem}" for problem in _probe(probe))
            for word in container.get("args") or ():
                yield from (f"{at}: {problem}" for problem in _attempts(str(word)))
    for manifest in world.of("TrainJob"):
        told = (manifest.get("spec") or {}).get("activeDeadlineSeconds")
        if isinstance(told, int) and told < LEAST_TRAINING_S:
            yield f"{title_of(manifest)}: spec.activeDeadlineSeconds {told}: images are not pulled by then; at least {LEAST_TRAINING_S}"
    for manifest in world.of("TrainingRuntime"):
        inner = ((manifest.get("spec") or {}).get("template") or {}).get("spec") or {}
        if (inner.get("failurePolicy") or {}).get("maxRestarts", 1) == 0:
            yield f"{title_of(manifest)}: failurePolicy.maxRestarts 0: one lost node ends a training of hours; at least 1"
    for manifest in world.of("PrometheusRule"):
        for group in (manifest.get("spec") or {}).get("groups") or ():
            if seconds(group.get("interval")) > MOST_APART_S:
                yield f"{title_of(manifest)}: group {group.get('name')}: interval {group['interval']} is longer than the five minutes that alerts count over; at most 1m"
            for rule in group.get("rules") or ():
                name = rule.get("alert") or rule.get("record")
                found = _units(str(rule.get("expr", "")))
                yield from (f"{title_of(manifest)}: {name}: {problem}" for problem in found)


def _probe(probe: Manifest) -> Iterator[str]:
    delay = probe.get("initialDelaySeconds", 0)
    if isinstance(delay, int) and delay > MOST_DELAY_S:
        yield f".initialDelaySeconds {delay}: no one asks for that long; at most {MOST_DELAY_S}"
    get = probe.get("httpGet") or {}
    for key in ("host", "httpHeaders"):
        if get.get(key):
            yield f".httpGet.{key} {get[key]!r}: the pod itself is asked, without it; take it out"


def _attempts(word: str) -> Iterator[str]:
    join = re.fullmatch(r"--rdzv-conf=.*join_timeout=(\d+).*", word)
    if join and not LEAST_JOIN_S <= int(join[1]) <= 86_400:
        yield f"{word}: the nodes that come last still pull their image; at least {LEAST_JOIN_S} seconds, at most a day"
    restarts = re.fullmatch(r"--max-restarts=(\d+)", word)
    if restarts and not 1 <= int(restarts[1]) <= 20:
        yield f"{word}: one process that ends must not end the training, nor start for ever; 1 to 20"


def _units(expr: str) -> Iterator[str]:
    for match in _SHARE.finditer(" ".join(expr.split())):
        if float(match[2]) * float(match[4] or 1) >= 1:
            yield f"compares a share, which is 0 to 1, with {match[2]}"
    for match in _SECONDS.finditer(" ".join(expr.split())):
        if float(match[1]) > 30:
            yield f"compares seconds with {match[1]}: no request takes that long"
