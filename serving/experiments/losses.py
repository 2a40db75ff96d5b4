"""How much of the logs was lost, and why: too much, and nothing is decided by the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hemix.serving.experiments.joining import Joined
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Loss

SLOW_MS = 30 * 60_000
FEWEST = 20
"""Of fewer lines or outcomes no share is taken."""
_EXPOSURES = {
    "unreadable": "lines that could not be read: were they cut short, or written by something else?",
    "reused": "request ids of more than one request: does a client send a constant, or count from 1 "
    "each day? Every request needs an id of its own; left out, the endpoint makes one",
    "other_variants": "requests of variants or versions that are not in the experiment: does another "
    "registry's endpoint log to the same folder?",
}
_OUTCOMES = {
    "outcomes_unreadable": "outcomes that could not be read",
    "orphans": "outcomes whose request_id no exposure has: are they another endpoint's, are exposures "
    "missing, or is the id written differently?",
    "ambiguous": "outcomes of a request_id that more than one request had",
    "foreign_items": "outcomes of items that were not in their request: is item_id written as in the "
    "request?",
    "early": "outcomes before their request: are times in another time zone, or is a clock wrong?",
    "late": "outcomes later than attribution_hours after their request: are times in another time "
    "zone or unit, or is the window too short?",
}


def losses_of(joined: Joined) -> tuple[Loss, ...]:
    """Everything that was left out and should have counted, the most first."""
    counts = joined.counts
    lines = counts.lines + counts.unreadable - counts.other_epochs
    outcomes = (
        counts.outcomes + counts.outcomes_unreadable - counts.other_requests - counts.before_log
    )
    logs: tuple[tuple[Literal["exposures", "outcomes"], int, Mapping[str, str]], ...] = (
        ("exposures", lines, _EXPOSURES),
        ("outcomes", outcomes, _OUTCOMES),
    )
    found = [
        Loss(
            of=of,
            reason=reason,
            count=count,
            total=total,
            example=joined.examples.get(reason, ""),
            cause=cause,
        )
        for of, total, causes in logs
        for reason, cause in causes.items()
        if (count := getattr(counts, reason))
    ]
    return tuple(sorted(found, key=lambda loss: -loss.share))


def too_many(losses: tuple[Loss, ...], most: float) -> list[str]:
    """Which of exposures and outcomes lost more than the share ``most``, and to what, in sentences."""
    reasons = []
    for of in ("exposures", "outcomes"):
        own = [loss for loss in losses if loss.of == of]
        lost = sum(loss.count for loss in own)
        total = own[0].total if own else 0
        if total >= FEWEST and lost > most * total:
            reasons.append(
                f"{lost:,} of {total:,} {of} ({lost / total:.1%}) were left out, and at most "
                f"{most:.1%} may be (most_lost): nothing is decided by the rest."
            )
            reasons += [_sentence(loss) for loss in own]
    return reasons


def unusable(joined: Joined, losses: tuple[Loss, ...], policy: ExperimentPolicy) -> list[str]:
    """Why the logs cannot be judged by, a sentence each; empty when they can."""
    reasons = too_many(losses, policy.most_lost)
    counts = joined.counts
    if not reasons and counts.users >= policy.minimum_users and not counts.joined:
        read = counts.outcomes + counts.outcomes_unreadable
        others = (
            f" {counts.other_requests:,} belong to requests of other splits and "
            f"{counts.before_log:,} came before the first exposure"
            f"{'; for example ' + joined.examples['before_log'] if counts.before_log else ''}."
            if read
            else " Are they logged elsewhere?"
        )
        reasons.append(
            f"None of {read:,} outcomes belongs to the {counts.requests:,} requests of the "
            f"experiment: nothing can be decided.{others}"
        )
    return reasons


def notes_of(joined: Joined, policy: ExperimentPolicy) -> list[str]:
    """What looks wrong and may not be."""
    import polars as pl

    rows = joined.outcomes
    notes: list[str] = []
    if rows.height < FEWEST:
        return notes
    delays = rows.join(joined.requests.select("request_id", "request_ms"), on="request_id")
    soonest = delays.select(pl.col("time_ms") - pl.col("request_ms")).to_series().quantile(0.01)
    if soonest is not None and soonest >= SLOW_MS:
        notes.append(
            f"99 % of outcomes come {soonest / 3_600_000:.1f} hours or more after their request: are "
            "their times in another time zone?"
        )
    asked = {metric.task for metric in policy.metrics} | set(policy.guardrails.calibration)
    others = rows.filter(~pl.col("task").is_in(list(asked)))["task"]
    if others.len() > policy.most_lost * rows.height:
        names = ", ".join(repr(task) for task in others.unique().sort().to_list()[:3])
        notes.append(
            f"{others.len():,} of {rows.height:,} outcomes are of tasks that the policy does not ask "
            f"for: {names}."
        )
    for metric in policy.metrics:
        values = rows.filter(pl.col("task") == metric.task)["value"]
        if metric.kind == "rate" and values.len() >= FEWEST and values.n_unique() == 1:
            notes.append(
                f"Every outcome of {metric.task} is {values[0]:g}: write a 0 when an item is shown "
                "and a 1 when it is clicked, or the rate says nothing."
            )
    return notes


def _sentence(loss: Loss) -> str:
    example = f" For example {loss.example}." if loss.example else ""
    return f"{loss.count:,} {loss.cause}{'' if loss.cause.endswith('?') else '.'}{example}"
