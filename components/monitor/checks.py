"""Measures against the policy. What rests on too little is said and not judged."""

from __future__ import annotations

from hemix.components.monitor.measure import Calibrated, Drift, Measures
from hemix.components.monitor.policy import MonitorPolicy
from hemix.verdict import Check, Direction

NOT_JUDGED = "not judged"


def checks_of(measures: Measures, policy: MonitorPolicy) -> list[Check]:
    """One check a feature, task and variant, view, and kind of id."""
    return [
        *(check for drift in measures.drift for check in _drift(drift, policy)),
        *_calibrations(measures, policy),
        *(
            Check.of("feature age, hours", age, policy.freshness.hours, "at_most", slice=view)
            for view, age in measures.ages_h.items()
        ),
        _unknown("users", measures.unknown_users, measures.users, measures.users, policy),
        _unknown("items", measures.unknown_items, measures.items, measures.users, policy),
    ]


def judged(check: Check) -> bool:
    """Whether there was enough to judge it by."""
    return not check.note.startswith(NOT_JUDGED)


def _drift(drift: Drift, policy: MonitorPolicy) -> list[Check]:
    least = policy.drift.minimum_samples
    if drift.samples < least:
        name = "feature drift, PSI"
        return [_open(name, drift.version, policy.drift.psi, "at_most", drift.samples, least)]
    return [
        Check.of(
            "feature drift, PSI",
            value,
            policy.drift.psi,
            "at_most",
            slice=f"{drift.version}: {feature}",
            sample_size=drift.samples,
        )
        for feature, value in sorted(drift.psi.items())
    ]


def _calibrations(measures: Measures, policy: MonitorPolicy) -> list[Check]:
    """One check a task and variant; where the logs were lost, one that says why none is judged."""
    if not measures.lost:
        return [_calibration(found, policy) for found in measures.calibration]
    return [
        Check(
            check="calibration, predicted over observed",
            value=None,
            threshold=policy.calibration.band,
            direction="between",
            passed=True,
            slice="all",
            note=f"{NOT_JUDGED}: {' '.join(measures.lost)}",
        )
    ]


def _calibration(found: Calibrated, policy: MonitorPolicy) -> Check:
    name, where = "calibration, predicted over observed", f"{found.variant}: {found.task}"
    least = policy.calibration.minimum_outcomes
    if found.outcomes < least:
        return _open(name, where, policy.calibration.band, "between", found.outcomes, least)
    return Check.of(
        name,
        found.pcoc,
        policy.calibration.band,
        "between",
        slice=where,
        sample_size=found.outcomes,
    )


def _unknown(kind: str, unknown: int, total: int, requests: int, policy: MonitorPolicy) -> Check:
    limit = policy.unknown.users if kind == "users" else policy.unknown.items
    name, least = f"unknown {kind}, share", policy.unknown.minimum_requests
    if requests < least:
        return _open(name, "all", limit, "at_most", requests, least)
    return Check.of(name, unknown / total, limit, "at_most", sample_size=total)


def _open(
    name: str,
    where: str,
    limit: float | tuple[float, float],
    direction: Direction,
    found: int,
    least: int,
) -> Check:
    """Insufficient data passes: it is no reason to retrain."""
    return Check(
        check=name,
        value=None,
        threshold=limit,
        direction=direction,
        passed=True,
        slice=where,
        sample_size=found,
        note=f"{NOT_JUDGED}: {found:,} of at least {least:,}",
    )
