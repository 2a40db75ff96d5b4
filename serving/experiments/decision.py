"""Continue, promote or roll back, with reasons. A pure function of the analysis and the policy."""

from __future__ import annotations

from hemix.serving.experiments.design import Design
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Analysis, Comparison, Decision, MetricResult, Verdict

MOST_STRAYED = 0.001
"""Share of users with two variants above which the assignment is taken to be broken."""

_RANK: dict[Verdict, int] = {
    "promote": 2,
    "continue": 1,
    "roll_back": 0,
    "unusable": -1,
    "none": -1,
}


def decide(design: Design, analysis: Analysis, policy: ExperimentPolicy) -> Decision:
    """What to do now. Lost logs come first, then the split (only lost exposures hide it), then harm, then gain, then the time that has passed.

    With several arms against the control the best one speaks: the first that may be promoted, else
    one that may go on; only when all have lost is the verdict to roll back.
    """
    if not design.running:
        return _decision(design, "none", "", ["No experiment runs."])
    arms = {arm.name: arm.version for arm in design.arms}
    broken = [] if _exposures_lost(analysis, policy) else _broken(analysis)
    if broken:
        reasons = [*broken, *analysis.unusable]
        return _decision(design, policy.on_mismatch, design.arms[1].name, reasons, arms)
    if analysis.unusable:
        return _decision(design, "unusable", design.arms[1].name, list(analysis.unusable), arms)
    few = _too_few(analysis, policy)
    if few:
        return _decision(design, "continue", design.arms[1].name, [*few, *analysis.notes], arms)
    found = [
        (comparison, *_verdict(comparison, analysis, policy)) for comparison in analysis.comparisons
    ]
    best, verdict, reasons = max(found, key=lambda entry: _RANK[entry[1]])
    return _decision(design, verdict, best.arm, [*reasons, *analysis.notes], arms)


def _decision(
    design: Design,
    verdict: Verdict,
    arm: str,
    reasons: list[str],
    arms: dict[str, str] | None = None,
) -> Decision:
    return Decision(
        layer=design.layer,
        epoch=design.epoch,
        verdict=verdict,
        arm=arm,
        version=(arms or {}).get(arm, ""),
        reasons=tuple(reasons),
    )


def _exposures_lost(analysis: Analysis, policy: ExperimentPolicy) -> bool:
    """Whether so many exposures were left out that not even the split can be judged."""
    share = sum(loss.share for loss in analysis.losses if loss.of == "exposures")
    return bool(analysis.unusable) and share > policy.most_lost


def _broken(analysis: Analysis) -> list[str]:
    reasons = []
    split = analysis.mismatch
    if split.found:
        counts = ", ".join(f"{a.name} {a.users:,} ({a.share:.1%} planned)" for a in analysis.arms)
        reasons.append(
            f"The split of users is not the planned one (p = {split.p_value:.2g}, limit "
            f"{split.alpha:g}): {counts}. No metric can be trusted; find the cause before the next try."
        )
    strayed, users = analysis.counts["strayed_users"], analysis.counts["users"]
    if strayed > MOST_STRAYED * (users + strayed):
        reasons.append(
            f"{strayed:,} users saw more than one variant: the assignment is not sticky."
        )
    return reasons


def _too_few(analysis: Analysis, policy: ExperimentPolicy) -> list[str]:
    few = [
        f"{arm.name} has {arm.users:,} users; {policy.minimum_users:,} are needed before metrics count."
        for arm in analysis.arms
        if arm.users < policy.minimum_users
    ]
    if few and (others := analysis.counts.get("other_epochs", 0)):
        few.append(
            f"{others:,} requests are of another split than {analysis.epoch}: an experiment begins "
            "anew when salt, versions or shares change."
        )
    return few


def _verdict(
    comparison: Comparison, analysis: Analysis, policy: ExperimentPolicy
) -> tuple[Verdict, list[str]]:
    harmed = [
        f"Guardrail {guard.name}: {_number(guard.value)} must be {guard.limit}, and surely is not."
        for guard in comparison.guards
        if guard.state == "harmed"
    ]
    harmed += [
        _sentence(m, "has surely got worse")
        for m in comparison.metrics
        if _lost(m, m is comparison.metrics[0])
    ]
    if harmed:
        return "roll_back", harmed
    primary = comparison.metrics[0]
    unclear = [
        f"Guardrail {g.name} is not clear yet." for g in comparison.guards if g.state != "fine"
    ]
    if _won(primary, policy):
        word = "is surely better" if policy.promote_when == "better" else "is surely not worse"
        if not unclear:
            return "promote", [_sentence(primary, word), "All guardrails are fine."]
        return "continue", [*unclear, _sentence(primary, word)]
    if analysis.days > policy.longest_days:
        late = f"{analysis.days:.1f} days have passed, {policy.longest_days:g} were planned."
        return policy.undecided, [_sentence(primary, "is still undecided"), late]
    return "continue", [_sentence(primary, "is undecided"), *unclear]


def _gain(result: MetricResult) -> tuple[float, float]:
    """The interval with gains above 0, whichever way the metric should go."""
    low = float("-inf") if result.low is None else result.low
    high = float("inf") if result.high is None else result.high
    return (low, high) if result.metric.direction == "increase" else (-high, -low)


def _lost(result: MetricResult, primary: bool) -> bool:
    """The whole interval is a loss beyond the margin; a secondary metric without one never is."""
    _, high = _gain(result)
    margin = result.metric.margin
    if margin is None:
        return primary and high < 0
    return high < -margin


def _won(result: MetricResult, policy: ExperimentPolicy) -> bool:
    low, _ = _gain(result)
    if policy.promote_when == "better":
        return low > 0
    assert result.metric.margin is not None
    return low > -result.metric.margin


def _sentence(result: MetricResult, what: str) -> str:
    unit = result.metric.scale == "relative"

    def text(value: float | None) -> str:
        if value is None:
            return "open"
        return f"{value:+.2%}" if unit else f"{value:+.4g}"

    return (
        f"{result.metric.name} {what}: {text(result.effect)}, "
        f"interval {text(result.low)} to {text(result.high)}."
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
