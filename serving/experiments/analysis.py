"""The analysis of an experiment: split first, then each metric over time, then the guardrails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hemix.serving.experiments.design import Design
from hemix.serving.experiments.joining import Joined, attribute
from hemix.serving.experiments.logs import OutcomeTable
from hemix.serving.experiments.losses import losses_of, notes_of, unusable
from hemix.serving.experiments.policy import ExperimentPolicy, Metric
from hemix.serving.experiments.results import (
    Analysis,
    ArmResult,
    Comparison,
    LargeUser,
    Look,
    MetricResult,
    MismatchResult,
)
from hemix.serving.experiments.statistics.effects import Effect, Floats, compare
from hemix.serving.experiments.statistics.guards import guard_results
from hemix.serving.experiments.statistics.largest import too_large
from hemix.serving.experiments.statistics.measures import Table, Values, table_of, values_of
from hemix.serving.experiments.statistics.moments import Codes, looks, moments_at
from hemix.serving.experiments.statistics.preperiod import columns_of, covariates
from hemix.serving.experiments.statistics.srm import sequential

if TYPE_CHECKING:
    import polars as pl

LOOKS = 60
"""Points of the picture over time; the intervals hold for any number of looks."""


@dataclass(frozen=True, kw_only=True)
class _Data:
    """A table with the arm of each user ``[U]`` and the users' ids ``[U]``."""

    table: Table
    arms: Codes
    ids: list[str]


def analyse(
    design: Design,
    joined: Joined,
    outcomes: OutcomeTable,
    policy: ExperimentPolicy,
    *,
    known: pl.DataFrame | None = None,
) -> Analysis:
    """Analyse what was joined.

    Args:
        design: the arms and their planned shares.
        joined: exposures of the experiment with their outcomes.
        outcomes: all outcomes; those of the pre-period feed CUPED.
        policy: metrics, guardrails and error rates.
        known: user_id and number columns from before the experiment, further covariates.

    Raises:
        DefinitionError: a metric's task has no outcomes.
    """
    losses = losses_of(joined)
    lost = unusable(joined, losses, policy)
    import polars as pl

    data = _data(design, joined)
    times = data.table.requests["request_ms"]
    split = sequential(
        data.arms[_first_seen(data.table.users)],
        [arm.share for arm in design.arms],
        alpha=policy.srm_alpha,
    )
    alpha = policy.alpha / max(len(design.arms) - 1, 1)
    large = _large_users(design, data, policy)
    requests = np.bincount(data.arms[data.table.users], minlength=len(design.arms))
    comparisons: tuple[Comparison, ...] = ()
    if large:
        ids = [user.user_id for user in large]
        rest = joined.requests.filter(~pl.col("user_id").is_in(ids))
        data = _data(design, replace(joined, requests=rest))
    everywhere = data.table.rows and len(np.unique(data.arms)) == len(design.arms)
    if design.running and everywhere and not lost:
        comparisons = _comparisons(design, data, joined, outcomes, policy, alpha, known)
    return Analysis(
        layer=design.layer,
        epoch=design.epoch,
        alpha=alpha,
        arms=tuple(
            ArmResult(
                name=arm.name,
                version=arm.version,
                share=arm.share,
                users=split.users[number],
                requests=int(requests[number]),
            )
            for number, arm in enumerate(design.arms)
        ),
        start_ms=int(times[0]) if len(times) else None,
        end_ms=int(times[-1]) if len(times) else None,
        mismatch=MismatchResult(
            p_value=split.p_value,
            fixed_p_value=split.fixed_p_value,
            alpha=split.alpha,
            found=split.found,
        ),
        comparisons=comparisons,
        counts=asdict(joined.counts),
        losses=losses,
        unusable=tuple(lost),
        notes=(*_told(large, design, policy), *notes_of(joined, policy)),
        large_users=large,
    )


def _data(design: Design, joined: Joined) -> _Data:
    table = table_of(joined.requests, joined.outcomes, joined.tasks)
    first = np.unique(table.users, return_index=True)[1]
    of_user = joined.requests[first].select("user_id", "variant") if first.size else None
    names = [arm.name for arm in design.arms]
    variants = of_user["variant"].to_list() if of_user is not None else []
    return _Data(
        table=table,
        arms=np.array([names.index(variant) for variant in variants], dtype=np.int64),
        ids=of_user["user_id"].to_list() if of_user is not None else [],
    )


def _large_users(design: Design, data: _Data, policy: ExperimentPolicy) -> tuple[LargeUser, ...]:
    table = data.table
    candidates = table.requests["item_ids"].list.len().to_numpy()
    amounts = np.stack(
        [
            np.bincount(table.users, weights=weights, minlength=len(data.arms)).astype(np.float64)
            for weights in (np.ones(table.rows), candidates)
        ],
        axis=1,
    )
    found = np.flatnonzero(too_large(amounts, data.arms, share=policy.largest_user))
    of_arm = np.bincount(data.arms, weights=amounts[:, 0], minlength=len(design.arms))
    users = [
        LargeUser(
            arm=design.arms[data.arms[code]].name,
            user_id=data.ids[code],
            requests=int(amounts[code, 0]),
            share=float(amounts[code, 0] / of_arm[data.arms[code]]),
        )
        for code in found
    ]
    return tuple(sorted(users, key=lambda user: -user.share))


def _told(large: tuple[LargeUser, ...], design: Design, policy: ExperimentPolicy) -> Iterator[str]:
    for arm in design.arms:
        own = [user for user in large if user.arm == arm.name]
        if own:
            share = sum(user.share for user in own)
            yield (
                f"{len(own):,} of {arm.name}'s users, who made {share:.1%} of its requests, are left "
                f"out of metrics and guardrails: each has more than {policy.largest_user:.1%} of "
                f"requests or candidates (largest_user). The largest is {own[0].user_id!r} with "
                f"{own[0].requests:,} requests, {own[0].share:.1%}: a crawler, or a test?"
            )


def _first_seen(users: Codes) -> Codes:
    """Codes of users in the order of their first request."""
    codes, first = np.unique(users, return_index=True)
    return np.asarray(codes[np.argsort(first)])


def _comparisons(
    design: Design,
    data: _Data,
    joined: Joined,
    outcomes: OutcomeTable,
    policy: ExperimentPolicy,
    alpha: float,
    known: pl.DataFrame | None,
) -> tuple[Comparison, ...]:
    before = _pre_table(data, joined, outcomes, policy)
    own = columns_of(known, data.ids) if known is not None else np.zeros((len(data.ids), 0))
    found: dict[int, list[MetricResult]] = {arm: [] for arm in range(1, len(design.arms))}
    for metric in policy.metrics:
        values = values_of(metric, data.table)
        explained = np.concatenate([_explained(metric, before, len(data.ids)), own], axis=1)
        for arm, result in _metric(metric, values, explained, data, policy, alpha).items():
            found[arm].append(result)
    return tuple(
        Comparison(
            arm=design.arms[arm].name,
            metrics=tuple(metrics),
            guards=guard_results(data.table, data.arms, arm, policy, alpha),
        )
        for arm, metrics in found.items()
    )


def _pre_table(
    data: _Data, joined: Joined, outcomes: OutcomeTable, policy: ExperimentPolicy
) -> tuple[Table, Codes] | None:
    """The pre-period's requests of the experiment's users, and the code of each one's user."""
    import polars as pl

    if not policy.cuped.days or joined.before.is_empty():
        return None
    start = joined.requests["request_ms"].min()
    assert isinstance(start, int)
    codes = pl.DataFrame({"user_id": data.ids, "code": np.arange(len(data.ids))})
    rows = joined.before.filter(
        pl.col("request_ms") >= start - policy.cuped.days * 86_400_000
    ).join(codes, on="user_id", how="inner", maintain_order="left")
    if rows.is_empty():
        return None
    # What came after the experiment's start may have been changed by it.
    early = outcomes.rows.filter(pl.col("time_ms") < start)
    kept, _ = attribute(rows, early, window_ms=policy.attribution_ms)
    return table_of(rows.drop("code"), kept, joined.tasks), rows["code"].to_numpy()


def _explained(metric: Metric, before: tuple[Table, Codes] | None, users: int) -> Floats:
    if before is None or before[0].shown.is_empty():
        return np.zeros((users, 0))
    table, codes = before
    values = values_of(metric, table)
    return covariates(
        np.bincount(codes, weights=values.numbers, minlength=users),
        np.bincount(codes, weights=values.sizes, minlength=users),
    )


def _metric(
    metric: Metric,
    values: Values,
    explained: Floats,
    data: _Data,
    policy: ExperimentPolicy,
    alpha: float,
) -> dict[int, MetricResult]:
    """The metric of each arm but the control, at every look."""
    cuts = looks(data.table.rows, LOOKS)
    times = data.table.requests["request_ms"].to_numpy()
    over_time: dict[int, list[Look]] = {}
    last: dict[int, tuple[Effect, Effect]] = {}
    steps = moments_at(
        cuts,
        users=data.table.users,
        arms=data.arms,
        numbers=values.numbers,
        sizes=values.sizes,
        covariates=explained,
    )
    for cut, moments in zip(cuts, steps, strict=True):
        for arm in range(1, len(moments)):
            plain, adjusted = (
                compare(
                    moments[0],
                    moments[arm],
                    scale=metric.scale,
                    alpha=alpha,
                    horizon=policy.horizon,
                    adjust=adjust,
                )
                for adjust in (False, True)
            )
            last[arm] = (plain, adjusted)
            over_time.setdefault(arm, []).append(
                Look(
                    requests=int(cut),
                    time_ms=int(times[cut - 1]),
                    effect=float(adjusted.effect),
                    low=float(adjusted.low),
                    high=float(adjusted.high),
                )
            )
    return {
        arm: MetricResult(
            metric=metric,
            control=float(adjusted.control),
            treatment=float(adjusted.treatment),
            effect=float(adjusted.effect),
            low=float(adjusted.low),
            high=float(adjusted.high),
            plain_low=float(plain.low),
            plain_high=float(plain.high),
            variance_kept=float(adjusted.variance_kept),
            looks=tuple(over_time[arm]),
        )
        for arm, (plain, adjusted) in last.items()
    }
