"""Guardrails: errors, latency, calibration. Each is fine, harmed, or not yet clear, at any look."""

from __future__ import annotations

import numpy as np

from hemix.serving.experiments.policy import ErrorGuard, ExperimentPolicy, LatencyGuard
from hemix.serving.experiments.results import GuardResult, GuardState
from hemix.serving.experiments.statistics.effects import Moments, compare, level
from hemix.serving.experiments.statistics.measures import Table, Values, calibration_of, errors_of
from hemix.serving.experiments.statistics.moments import Codes, moments_at
from hemix.serving.experiments.statistics.quantiles import quantile


def guard_results(
    table: Table, arms: Codes, arm: int, policy: ExperimentPolicy, alpha: float
) -> tuple[GuardResult, ...]:
    """Every guardrail of ``arm`` against arm 0, with all data there are.

    Args:
        table: requests and outcomes per user.
        arms: arm of each user ``[U]``.
        arm: code of the variant.
        policy: its guardrails.
        alpha: error rate of each.
    """
    guards = policy.guardrails
    results = []
    if guards.errors is not None:
        results.append(_errors(table, arms, arm, guards.errors, policy, alpha))
    if guards.latency is not None:
        results.append(_latency(table, arms, arm, guards.latency, policy, alpha))
    for task, band in guards.calibration.items():
        results.append(_calibration(table, arms, arm, task, band, policy, alpha))
    return tuple(results)


def _errors(
    table: Table,
    arms: Codes,
    arm: int,
    guard: ErrorGuard,
    policy: ExperimentPolicy,
    alpha: float,
) -> GuardResult:
    moments = _last(table, arms, errors_of(table))
    found = compare(
        moments[0],
        moments[arm],
        scale="absolute",
        alpha=alpha,
        horizon=policy.horizon,
        floor=1.0,
    )
    low, high = float(found.low), float(found.high)
    return GuardResult(
        name="error rate",
        control=float(found.control),
        treatment=float(found.treatment),
        value=float(found.effect),
        low=low,
        high=high,
        limit=f"at most {100 * guard.margin:g} points above the control's",
        state=_state(harmed=low > guard.margin, fine=high <= guard.margin),
    )


def _latency(
    table: Table,
    arms: Codes,
    arm: int,
    guard: LatencyGuard,
    policy: ExperimentPolicy,
    alpha: float,
) -> GuardResult:
    answered = table.requests["error"].to_numpy() == ""
    latency = table.requests["latency_ms"].to_numpy()
    own = arms[table.users]
    # Two intervals, each at half alpha, hold together.
    control, treatment = (
        quantile(
            latency[answered & (own == number)],
            guard.quantile,
            alpha=alpha / 2,
            horizon=policy.horizon,
            users=table.users[answered & (own == number)],
        )
        for number in (0, arm)
    )
    factor = 1 + guard.margin
    return GuardResult(
        name=f"latency p{100 * guard.quantile:g}, ms",
        control=control.value,
        treatment=treatment.value,
        value=treatment.value,
        low=treatment.low,
        high=treatment.high,
        limit=f"at most {guard.slowest_ms:g} ms, or {factor:g} times the control's",
        state=_state(
            harmed=treatment.low > max(guard.slowest_ms, factor * control.high),
            fine=treatment.high <= max(guard.slowest_ms, factor * control.low),
        ),
    )


def _calibration(
    table: Table,
    arms: Codes,
    arm: int,
    task: str,
    band: tuple[float, float],
    policy: ExperimentPolicy,
    alpha: float,
) -> GuardResult:
    moments = _last(table, arms, calibration_of(task, table))
    control, _, _ = level(moments[0], alpha=alpha, horizon=policy.horizon)
    value, low, high = (float(x) for x in level(moments[arm], alpha=alpha, horizon=policy.horizon))
    return GuardResult(
        name=f"predicted over observed, {task}",
        control=float(control),
        treatment=value,
        value=value,
        low=low,
        high=high,
        limit=f"{band[0]:g} to {band[1]:g}",
        state=_state(
            harmed=high < band[0] or low > band[1], fine=low >= band[0] and high <= band[1]
        ),
    )


def _last(table: Table, arms: Codes, values: Values) -> tuple[Moments, ...]:
    cuts = np.array([table.rows], dtype=np.int64)
    (found,) = moments_at(
        cuts, users=table.users, arms=arms, numbers=values.numbers, sizes=values.sizes
    )
    return found


def _state(*, harmed: bool, fine: bool) -> GuardState:
    if harmed:
        return "harmed"
    return "fine" if fine else "unclear"
