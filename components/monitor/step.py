"""Monitor: hold what serving measured of itself against the policy; a verdict and one page."""

from __future__ import annotations

import time
from pathlib import Path

from hemix.components.monitor.checks import checks_of, judged
from hemix.components.monitor.measure import HOUR_MS, measure
from hemix.components.monitor.page import render
from hemix.components.monitor.policy import MonitorPolicy
from hemix.files import atomic_file
from hemix.progress import say
from hemix.serving.registry.opening import find_registry
from hemix.verdict import Verdict

GATE = "monitor"
NAMED = 3
"""Failed checks that the log's line names; the page has them all."""


def run(
    *,
    exposures: str,
    outcomes: str,
    registry: str,
    feature_store: str,
    policy: Path | None,
    out_verdict: Path,
    out_page: Path,
    now_ms: int | None = None,
) -> Verdict:
    """Judge the last hours of serving. A verdict that fails is a reason to train anew.

    Drift and unknown ids come from the snapshots that serving writes beside its exposures,
    calibration from exposures and outcomes, freshness from both and the feature store. What rests
    on too few requests or outcomes passes, and says that it was not judged.

    Args:
        exposures: folder or ``s3://`` prefix of exposures and snapshots.
        outcomes: folder or ``s3://`` prefix; none there leaves calibration out.
        registry: folder or ``s3://`` prefix.
        feature_store: folder or ``s3://`` prefix.
        policy: policy file; None takes the default.
        out_verdict: the verdict, JSON.
        out_page: HTML.
        now_ms: end of the window, epoch ms; None is now.

    Raises:
        DefinitionError: the policy cannot be used; names the key.
        RegistryError: there is no registry.
        DataError, StorageError: a log cannot be read.
    """
    rules = MonitorPolicy.load(policy)
    until = round(time.time() * 1000) if now_ms is None else now_ms
    measures = measure(
        exposures=exposures,
        outcomes=outcomes,
        registry=find_registry(registry),
        feature_store=feature_store,
        since_ms=round(until - rules.window_hours * HOUR_MS),
        until_ms=until,
        attribution_ms=round(rules.calibration.attribution_hours * HOUR_MS),
        most_lost=rules.calibration.most_lost,
    )
    verdict = Verdict.of(GATE, checks_of(measures, rules))
    verdict.write(out_verdict)
    text = render(measures, verdict, rules)
    with atomic_file(out_page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    open_ = sum(not judged(check) for check in verdict.checks)
    failed = [check.sentence() for check in verdict.failures]
    if len(failed) > NAMED:
        failed = [*failed[:NAMED], f"and {len(failed) - NAMED} more"]
    result = "; ".join(failed) or "all passed"
    say(f"monitor: {len(verdict.checks)} checks, {open_} not judged; {result}")
    for reason in measures.lost:
        say(f"monitor: calibration is not judged: {reason}")
    return verdict
