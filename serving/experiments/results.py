"""What an analysis found, as typed records that read and write JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from hemix.serving.experiments.policy import Metric
from hemix.texts.frozen import Frozen


def _bound(value: object) -> object:
    """JSON has no infinity: an open end is null and comes back as None."""
    return (
        None
        if isinstance(value, float) and (value != value or abs(value) == float("inf"))
        else value
    )


Bound = Annotated[float | None, BeforeValidator(_bound)]
GuardState = Literal["fine", "harmed", "unclear"]
Verdict = Literal["none", "unusable", "continue", "promote", "roll_back"]


class ArmResult(Frozen):
    """Planned and observed allocation of one arm."""

    name: str
    version: str
    share: float
    users: int
    requests: int


class LargeUser(Frozen):
    """A user who made too much of an arm and is left out of metrics and guardrails."""

    arm: str
    user_id: str
    requests: int
    share: float


class MismatchResult(Frozen):
    """See :class:`hemix.serving.experiments.statistics.srm.Mismatch`."""

    p_value: float
    fixed_p_value: float
    alpha: float
    found: bool


class Look(Frozen):
    """An effect and its interval after the first ``requests`` requests, the last at ``time_ms``."""

    requests: int
    time_ms: int
    effect: Bound
    low: Bound
    high: Bound


class MetricResult(Frozen):
    """A metric of one arm against the control. ``effect`` is on the metric's scale.

    ``plain_low`` and ``plain_high`` are the interval without CUPED; ``variance_kept`` the share of
    the variance that CUPED left (1: none was used).
    """

    metric: Metric
    control: Bound
    treatment: Bound
    effect: Bound
    low: Bound
    high: Bound
    plain_low: Bound
    plain_high: Bound
    variance_kept: float
    looks: tuple[Look, ...]


class GuardResult(Frozen):
    """A guardrail of one arm. ``low`` and ``high`` bound ``value``; ``limit`` is what it must keep to."""

    name: str
    control: Bound
    treatment: Bound
    value: Bound
    low: Bound
    high: Bound
    limit: str
    state: GuardState


class Comparison(Frozen):
    """One arm against the control; ``metrics[0]`` is the primary."""

    arm: str
    metrics: tuple[MetricResult, ...]
    guards: tuple[GuardResult, ...]


class Loss(Frozen):
    """``count`` of ``total`` exposures or outcomes that were left out for one ``reason`` (a name of
    :class:`hemix.serving.experiments.joining.Counts`), the first of them, and what it is likely to come of.
    """

    of: Literal["exposures", "outcomes"]
    reason: str
    count: int
    total: int
    example: str
    cause: str

    @property
    def share(self) -> float:
        return self.count / self.total if self.total > 0 else 0.0


class Analysis(Frozen):
    """The whole analysis of one layer. Times are Unix milliseconds, None without requests.

    ``unusable`` says why too much of the logs was lost to judge by the rest; there are then no
    ``comparisons``. ``losses`` names every reason for which something was left out. ``notes``: what
    else whoever decides should know. ``large_users``, the largest first, count in the split and in
    ``arms`` only.
    """

    layer: str
    epoch: str
    alpha: float
    arms: tuple[ArmResult, ...]
    start_ms: int | None
    end_ms: int | None
    mismatch: MismatchResult
    comparisons: tuple[Comparison, ...]
    counts: dict[str, int]
    losses: tuple[Loss, ...] = ()
    unusable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    large_users: tuple[LargeUser, ...] = ()

    @property
    def days(self) -> float:
        """Length of the data in days."""
        if self.start_ms is None or self.end_ms is None:
            return 0.0
        return (self.end_ms - self.start_ms) / 86_400_000


class Decision(Frozen):
    """What to do with ``arm`` (and its model ``version``), and why; the first reason decides."""

    layer: str
    epoch: str
    verdict: Verdict
    arm: str = ""
    version: str = ""
    reasons: tuple[str, ...]
    applied: bool = False
