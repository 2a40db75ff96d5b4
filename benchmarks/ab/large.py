"""Null experiments in which few users make much of the traffic: does anything call it an effect?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemix.serving.experiments.statistics.effects import Floats, Scale, compare, level
from hemix.serving.experiments.statistics.largest import too_large
from hemix.serving.experiments.statistics.moments import Codes, moments_at
from hemix.serving.experiments.statistics.quantiles import quantile

LOOKS = 10
USERS = 2_000
SHOWN = 3
"""Impressions a request."""
HORIZON = 50_000.0
SHARE = 0.01
BAND = (0.8, 1.25)
MARGIN, SLOWEST_MS = 0.5, 100.0


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What one world is like.

    Args:
        bots: users who click everything, slowly; ``share``: what each makes of the requests of the
            arm that it comes to, the other users' and its own.
        tail: None: 1 + Poisson(1.5) requests per user; else Zipf with this exponent, at most 5,000.
        rate: mean click rate; ``large_values``: clicks are worth amounts whose largest dominate.
        lift: of the challenger's rate.
    """

    users: int = USERS
    bots: int = 0
    share: float = 0.0
    tail: float | None = None
    rate: float = 0.45
    large_values: bool = False
    lift: float = 0.0


WORLDS: Mapping[str, Traffic] = {
    "ordinary": Traffic(),
    **{f"one user makes {share:.0%}": Traffic(bots=1, share=share) for share in (0.1, 0.25, 0.5, 0.8)},
    "two users make 45% each": Traffic(bots=2, share=0.45),
    "five users make 5% each": Traffic(bots=5, share=0.05),
    "five users make 0.9% each": Traffic(bots=5, share=0.009),
    "twenty users make 0.9% each": Traffic(bots=20, share=0.009),
    "Zipf 1.5": Traffic(tail=1.5),
    "Zipf 2": Traffic(tail=2.0),
    "1,000 users": Traffic(users=1_000),
    "1,000 users, one makes 80%": Traffic(users=1_000, bots=1, share=0.8),
    "rare conversions": Traffic(rate=0.005),
    "rare conversions, one user makes 0.9%": Traffic(rate=0.005, bots=1, share=0.009),
    "large values": Traffic(rate=0.05, large_values=True),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Requests in order of time ``[R]``: user, value (sum over its impressions), predicted, latency;
    arm of each user ``[U]``."""

    user: Codes
    value: Floats
    predicted: Floats
    latency: Floats
    arms: Codes


def draw(world: Traffic, rng: np.random.Generator) -> Requests:
    """One experiment."""
    count = world.users + world.bots
    arms = (rng.random(count) < 0.5).astype(np.int64)
    rate = rng.beta(4.0, 4.0 / world.rate - 4.0, count) if world.rate < 0.5 else np.full(count, 0.5)
    if world.tail is None:
        requests = 1 + rng.poisson(1.5, count)
    else:
        requests = np.minimum(rng.zipf(world.tail, count), 5_000)
    bots = np.arange(world.users, count)
    ordinary = requests[: world.users]
    for arm in (0, 1):
        own = bots[arms[bots] == arm]
        # Each makes `share` of the arm; with several in one arm they cannot all make it: at most 95 %.
        whole = min(world.share * own.size, 0.95)
        others = ordinary[arms[: world.users] == arm].sum()
        if own.size:
            requests[own] = max(1, round(whole / (1 - whole) * others / own.size))
    user = rng.permutation(np.repeat(np.arange(count), requests))
    chance = rate[user] * (1 + world.lift * arms[user])
    clicks = rng.binomial(SHOWN, np.minimum(chance, 1.0)).astype(np.float64)
    latency = rng.gamma(4.0, 5.0, user.size)
    is_bot = user >= world.users
    clicks[is_bot], latency[is_bot] = SHOWN, 1_000.0
    worth = np.exp(rng.normal(0.0, 2.0, count)) if world.large_values else np.ones(count)
    return Requests(
        user=user, value=clicks * worth[user], predicted=SHOWN * rate[user] * worth[user], latency=latency, arms=arms
    )  # fmt: skip


def judge(found: Requests, *, scale: Scale = "relative", guarded: bool = True) -> dict[str, bool]:
    """What was called sure at one of the looks: a metric's effect, a guardrail's harm."""
    said = {"effect": False, "calibration": False, "latency": False}
    total = len(found.user)
    for look in range(1, LOOKS + 1):
        cut = total * look // LOOKS
        users = found.user[:cut]
        amounts = np.bincount(users, minlength=len(found.arms)).astype(np.float64)[:, None]
        large = (
            too_large(amounts, found.arms, share=SHARE)
            if guarded
            else np.zeros(len(found.arms), bool)
        )
        kept = np.flatnonzero(~large[users])
        at = np.array([kept.size], dtype=np.int64)
        part: dict[str, Any] = {"users": users[kept], "arms": found.arms}
        value, shown = found.value[kept], np.full(kept.size, float(SHOWN))
        (moments,) = moments_at(at, **part, numbers=value, sizes=shown)
        effect = compare(*moments, scale=scale, alpha=0.05, horizon=HORIZON)
        said["effect"] |= bool(effect.low > 0 or effect.high < 0)
        (moments,) = moments_at(at, **part, numbers=found.predicted[kept], sizes=value)
        _, low, high = level(moments[1], alpha=0.05, horizon=HORIZON)
        said["calibration"] |= bool(high < BAND[0] or low > BAND[1])
        arm = found.arms[part["users"]]
        slow = [
            quantile(
                found.latency[kept][arm == a], 0.99, alpha=0.025, horizon=HORIZON,
                users=part["users"][arm == a],
            )
            for a in (0, 1)
        ]  # fmt: skip
        said["latency"] |= bool(slow[1].low > max(SLOWEST_MS, (1 + MARGIN) * slow[0].high))
    return said


def large_study(
    seed: int,
    *,
    nulls: int,
    worlds: Mapping[str, Traffic] = WORLDS,
    told: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """World -> share of null experiments in which something was called sure, by what and in all."""
    rates = {}
    for number, (name, world) in enumerate(worlds.items()):
        rng = np.random.default_rng([seed, 11, number])
        said = [judge(draw(world, rng)) for _ in range(nulls)]
        rates[name] = {what: float(np.mean([s[what] for s in said])) for what in said[0]}
        rates[name]["any"] = float(np.mean([any(s.values()) for s in said]))
        told(f"null experiments, {name}: {rates[name]}")
    return rates
