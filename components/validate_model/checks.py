"""Checks on what evaluate measured: limits, rivals, slices."""

from __future__ import annotations

from collections.abc import Mapping

from hemix.components.evaluate.results import (
    BOOSTING,
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    RULE,
    Interval,
    Results,
)
from hemix.components.validate_model.policy import Policy, lower_is_better
from hemix.errors import DefinitionError
from hemix.verdict import Check, Direction


def metric_checks(policy: Policy, results: Results) -> list[Check]:
    """Floors, ceilings and bands of every task's metrics.

    Raises:
        DefinitionError: the policy names a task that the evaluation does not hold.
    """
    if unknown := set(policy.tasks) - set(results.tasks):
        raise DefinitionError(
            f"policy: tasks: unknown tasks {sorted(unknown)}.",
            hint=f"The model's tasks: {', '.join(results.tasks)}.",
        )
    checks: list[Check] = []
    for task, result in results.tasks.items():
        limits, own = policy.limits(task), result.metrics[CANDIDATE]
        wanted: list[tuple[str, float | tuple[float, float], Direction]] = [
            *((name, limit, "at_least") for name, limit in limits.floors.items()),
            *((name, limit, "at_most") for name, limit in limits.ceilings.items()),
            *((name, limit, "between") for name, limit in limits.bands.items()),
        ]
        checks += [
            _check(f"{task} {name}", own[name], own[name].value, limit, direction, results.rows)
            for name, limit, direction in wanted
        ]
    return checks


def rival_checks(policy: Policy, results: Results) -> list[Check]:
    """Not worse than each rival that took part, at the pessimistic end of the paired interval."""
    margins: dict[str, Mapping[str, float]] = {
        CHAMPION: policy.champion,
        POPULARITY: policy.popularity,
        BOOSTING: policy.boosting,
    }
    return [
        _not_worse(f"{task} {metric} minus {rival}", metric, found, margin, results.rows)
        for task, result in results.tasks.items()
        for rival, allowed in margins.items()
        if rival in result.differences
        for metric, margin in allowed.items()
        for found in [result.differences[rival][metric]]
    ]


def rule_checks(policy: Policy, results: Results) -> list[Check]:
    """Not surely worse than the rule: the whole interval lies within the margin or beyond it.

    A check without an interval passes and says that nothing was judged: on a log whose users have one
    row each there is no order within a user.
    """
    found: list[Check] = []
    for task, result in results.tasks.items():
        for metric, margin in policy.rule.items():
            gap = result.differences.get(RULE, {}).get(metric)
            if gap is None:
                continue
            lower = lower_is_better(metric)
            name = f"{task} {metric} minus {RULE}, {'lower' if lower else 'upper'} end"
            end, limit = (gap.low, margin) if lower else (gap.high, 0.0 - margin)
            direction: Direction = "at_most" if lower else "at_least"
            check = _check(name, gap, end, limit, direction, results.rows)
            if end is None:
                note = f"not judged: {check.note}"
                check = check.model_copy(update={"passed": True, "note": note})
            found.append(check)
    return found


def slice_checks(policy: Policy, results: Results) -> list[Check]:
    """No slice of enough rows may be surely worse than the champion by more than the margin."""
    limits = policy.slices
    return [
        _check(
            f"{found.task} auc minus champion, upper end",
            found.difference[CHAMPION],
            found.difference[CHAMPION].high,
            0.0 - limits.margin,
            "at_least",
            found.rows,
            where=f"{found.dimension}={found.slice}",
        )
        for found in results.slices
        if CHAMPION in found.difference
        and found.rows >= limits.smallest_rows
        and min(found.positives, found.rows - found.positives) >= limits.smallest_positives
    ]


def _not_worse(name: str, metric: str, found: Interval, margin: float, rows: int) -> Check:
    if lower_is_better(metric):
        return _check(f"{name}, upper end", found, found.high, margin, "at_most", rows)
    return _check(f"{name}, lower end", found, found.low, 0.0 - margin, "at_least", rows)


def _check(
    name: str,
    found: Interval,
    value: float | None,
    threshold: float | tuple[float, float],
    direction: Direction,
    rows: int,
    where: str = "all",
) -> Check:
    if value is None:
        return Check(
            check=name,
            value=None,
            threshold=threshold,
            direction=direction,
            passed=False,
            slice=where,
            sample_size=rows,
            note=found.note or "undefined on this sample",
        )
    known = None not in (found.value, found.low, found.high)
    note = f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]" if known else ""
    return Check.of(name, value, threshold, direction, slice=where, sample_size=rows, note=note)
