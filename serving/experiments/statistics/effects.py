"""The effect of a variant on a ratio metric by user: delta method, CUPED, confidence sequence.

A metric is a ratio of sums R = Σ N / Σ D over users (clicks over impressions; quality over
requests), the user being the unit that is assigned. Everything is worked out from second moments,
so that many experiments or looks are one call: arrays have any leading shape ``[...]``.

- Delta method: R̂ − R ≈ mean of z = (N − R·D)/D̄ over users. Source: Deng, Knoblich and Lu, *Applying
  the Delta Method in Metric Analytics*, KDD 2018, eq. 3.
- CUPED: z is regressed on what is known of the user from before the experiment, c; then
  R_adj = R̂ − θ·(c̄ of the arm − c̄ of all). Source: Deng, Xu, Kohavi and Walker, *Improving the
  Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data*, WSDM 2013, eq. 4
  and 7; for several covariates θ is the least-squares solution. In the confidence sequence it is
  the augmented estimator of Waudby-Smith et al., section 3, with known propensities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hemix.serving.experiments.statistics.confidence import boundary

Floats = NDArray[np.float64]
Scale = Literal["relative", "absolute"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """One arm.

    ``users`` are the sums over users of products of (1, N, D, c₁ … c_C), ``[..., K, K]`` with
    K = 3 + C; entry 0, 0 is the number of users. ``requests`` are the sums of products of (1, n, d)
    over the requests that count in the metric, ``[..., 3, 3]``; they only set the clock's unit.
    """

    users: Floats
    requests: Floats

    @property
    def count(self) -> Floats:
        """Users of the arm ``[...]``."""
        return np.asarray(self.users[..., 0, 0])


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Estimates ``[...]``. ``effect`` is treatment − control or, relative, treatment/control − 1.

    ``low`` and ``high`` hold at every look at once, ``error`` is the standard error at this look on
    the scale of ``effect`` (relative: of the logarithm), ``time`` the intrinsic time.
    ``variance_kept`` is the share of the variance that CUPED leaves, 1 without it.
    """

    control: Floats
    treatment: Floats
    effect: Floats
    low: Floats
    high: Floats
    error: Floats
    time: Floats
    variance_kept: Floats


@dataclass(frozen=True, kw_only=True)
class _Arm:
    """An arm's linearised estimate: users, D̄, R, weights of (N, D) in z, covariance, means."""

    count: Floats
    size: Floats
    ratio: Floats
    weights: Floats
    covariance: Floats
    means: Floats


def compare(
    control: Moments,
    treatment: Moments,
    *,
    scale: Scale,
    alpha: float,
    horizon: float,
    adjust: bool = False,
    floor: float = 0.0,
) -> Effect:
    """The effect of ``treatment`` against ``control`` with its confidence sequence.

    Args:
        control: moments of the control.
        treatment: moments of the variant.
        scale: relative to the control's value, or absolute.
        alpha: error rate of the interval, over all looks together.
        horizon: intrinsic time (requests, when they are independent) of the tightest interval.
        adjust: use the covariates (CUPED).
        floor: least Σ(N − R·D)² that an arm is credited with; 1 for a metric of rare events, so that
            none seen yet is not taken for certainty (it then reads like the rule of three).
    """
    arms = [_linearised(moments) for moments in (control, treatment)]
    theta = _theta(arms) if adjust and control.users.shape[-1] > 3 else None
    kept = _variances(arms, theta, floor)
    ratios = [arm.ratio for arm in arms]
    if theta is not None:
        total = arms[0].count + arms[1].count
        middle = sum(arm.means[..., 3:] * (arm.count / total)[..., None] for arm in arms)
        ratios = [
            arm.ratio - np.einsum("...c,...c->...", theta, arm.means[..., 3:] - middle)
            for arm in arms
        ]
    with np.errstate(divide="ignore", invalid="ignore"):
        scales: list[Floats | np.float64] = [
            1 / arm.ratio if scale == "relative" else np.float64(1.0) for arm in arms
        ]
        error = np.sqrt(sum(v * s**2 for v, s in zip(kept, scales, strict=True)))
        centre = ratios[1] - ratios[0]
        if scale == "relative":
            plain, centre = centre, np.log(ratios[1]) - np.log(ratios[0])
            # No surer on the logarithm's scale than on the plain one: few users' large values bend
            # the logarithm, and their deviation is then less than what they make of the difference.
            bend = np.abs(centre / plain)
            error = np.fmax(error, np.where(np.isfinite(bend), bend, 0.0) * np.sqrt(sum(kept)))
        time = _clock(arms, kept, (control, treatment), floor)
        reach = boundary(time, alpha=alpha, horizon=horizon) * error
        variance_kept = _share_kept(arms, theta, floor, scales)
        reach = np.where(np.isfinite(centre) & np.isfinite(reach), reach, np.inf)
        low, high = centre - reach, centre + reach
        if scale == "relative":
            centre, low, high = np.expm1(centre), np.expm1(low), np.expm1(high)
    return Effect(
        control=np.asarray(ratios[0]),
        treatment=np.asarray(ratios[1]),
        effect=np.asarray(centre),
        low=np.where(np.isnan(low), -np.inf, low),
        high=np.where(np.isnan(high), np.inf, high),
        error=np.asarray(error),
        time=time,
        variance_kept=variance_kept,
    )


def level(arm: Moments, *, alpha: float, horizon: float) -> tuple[Floats, Floats, Floats]:
    """One arm's positive ratio ``[...]`` (predicted over observed, say) and its sequence.

    The interval holds every b for which the mean of N − b·D is within the sequence's reach of 0
    (Fieller, *Some problems in interval estimation*, JRSS B 1954): where few users make most of D it
    is as wide as they make it, and open where D itself may be 0.

    Returns:
        ``(ratio, low, high)``.
    """
    found = _linearised(arm)
    variance = _variance(found, found.ratio, None, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = _request_variance(found.ratio, arm.requests)
        time = np.where(unit > 0, variance * (found.count * found.size) ** 2 / unit, 0.0)
        reach = boundary(time, alpha=alpha, horizon=horizon)
        share = reach**2 / np.maximum(found.count - 1, 1)
        number, size = found.means[..., 1], found.means[..., 2]
        square = size**2 - share * found.covariance[..., 2, 2]
        middle = number * size - share * found.covariance[..., 1, 2]
        rest = number**2 - share * found.covariance[..., 1, 1]
        half = np.sqrt(np.maximum(middle**2 - square * rest, 0.0))
        low, high = (middle - half) / square, (middle + half) / square
    known = np.isfinite(reach) & np.isfinite(found.ratio) & (square > 0)
    return (
        found.ratio,
        np.where(known, np.maximum(low, 0.0), 0.0),
        np.where(known, high, np.inf),
    )


def _linearised(moments: Moments) -> _Arm:
    with np.errstate(divide="ignore", invalid="ignore"):
        count = moments.count
        means = moments.users[..., 0, :] / count[..., None]
        covariance = (
            moments.users / count[..., None, None] - means[..., :, None] * means[..., None, :]
        )
        size = means[..., 2]
        ratio = means[..., 1] / size
        weights = np.stack([1 / size, -ratio / size], axis=-1)
    return _Arm(
        count=count, size=size, ratio=ratio, weights=weights, covariance=covariance, means=means
    )


def _theta(arms: list[_Arm]) -> Floats:
    """Least squares of z on the covariates, within arms, both arms together ``[..., C]``."""
    inner = sum(arm.count[..., None, None] * arm.covariance[..., 3:, 3:] for arm in arms)
    outer = sum(
        arm.count[..., None]
        * np.einsum("...cm,...m->...c", arm.covariance[..., 3:, 1:3], arm.weights)
        for arm in arms
    )
    inner, outer = np.nan_to_num(np.asarray(inner)), np.nan_to_num(np.asarray(outer))
    # Pseudo-inverse: a covariate that is constant so far takes no part.
    return np.einsum("...cd,...d->...c", np.linalg.pinv(inner, rcond=1e-10, hermitian=True), outer)


def _share_kept(
    arms: list[_Arm], theta: Floats | None, floor: float, scales: Sequence[Floats | np.float64]
) -> Floats:
    before, after = (
        sum(_variance(a, a.ratio, t, floor) * s**2 for a, s in zip(arms, scales, strict=True))
        for t in (None, theta)
    )
    return np.where(np.asarray(before) > 0, np.asarray(after) / before, 1.0)


def _variances(arms: list[_Arm], theta: Floats | None, floor: float) -> list[Floats]:
    """Variance of each arm's estimate, z taken at its own ratio or the other arm's: the larger.

    The two agree where there is no effect. A user who makes most of an arm pulls its ratio so near
    that z at the arm's own ratio vanishes; at the other arm's it stays.
    """
    return [
        np.fmax(_variance(arm, arm.ratio, theta, floor), _variance(arm, other.ratio, theta, floor))
        for arm, other in zip(arms, arms[::-1], strict=True)
    ]


def _variance(arm: _Arm, ratio: Floats, theta: Floats | None, floor: float) -> Floats:
    """Variance of the arm's estimate ``[...]``: that of z over users, divided by their number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = np.stack([1 / arm.size, -ratio / arm.size], axis=-1)
    part = arm.covariance[..., 1:3, 1:3]
    if theta is not None:
        direction = np.concatenate([direction, -theta], axis=-1)
        part = arm.covariance[..., 1:, 1:]
    spread = np.einsum("...i,...ij,...j->...", direction, part, direction)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = floor / (arm.count * arm.size**2)
        # The mean is estimated from the same users: one degree of freedom.
        return np.asarray(np.maximum(spread, least) / np.maximum(arm.count - 1, 1))


def _clock(
    arms: list[_Arm], variances: list[Floats], moments: tuple[Moments, Moments], floor: float
) -> Floats:
    """Accumulated variance of the weighted difference of sums, in units of one request's."""
    total = arms[0].count + arms[1].count
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [arm.count / total for arm in arms]
        sums = [
            variance * (arm.count * arm.size) ** 2
            for variance, arm in zip(variances, arms, strict=True)
        ]
        gathered = shares[1] ** 2 * sums[0] + shares[0] ** 2 * sums[1]
        requests = [
            np.maximum(_request_variance(arm.ratio, own.requests), floor / own.requests[..., 0, 0])
            for arm, own in zip(arms, moments, strict=True)
        ]
        unit = shares[0] * requests[0] + shares[1] * requests[1]
        time = gathered / (shares[0] * shares[1] * unit)
    return np.where(np.isfinite(time), time, 0.0)


def _request_variance(ratio: Floats, requests: Floats) -> Floats:
    """Mean over requests of (n − R·d)² ``[...]``."""
    squares = requests[..., 1, 1] - 2 * ratio * requests[..., 1, 2] + ratio**2 * requests[..., 2, 2]
    return np.asarray(squares / requests[..., 0, 0])
