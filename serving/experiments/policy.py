"""The experiment's policy: a small strict YAML file; what it leaves out has ``policy.yaml``'s values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hemix.texts.documents import checked, parse, text_of
from hemix.texts.frozen import Frozen

DEFAULT = Path(__file__).with_name("policy.yaml")

Kind = Literal["rate", "per_request", "per_user", "auc", "ndcg"]
Level = Annotated[float, Field(gt=0, lt=0.5)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Metric(Frozen):
    """A ratio of sums over users."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    """Name of the metric in results."""
    kind: Kind
    """rate: values over outcomes (click-through when outcomes are impressions); per_request,
    per_user: values over requests, over users; auc, ndcg: how well the served order puts a
    request's outcomes above 0 first, averaged over the requests that have both kinds."""
    task: str
    """Task whose outcomes are the values."""
    direction: Literal["increase", "decrease"] = "increase"
    """Whether more of it is better or worse."""
    scale: Literal["relative", "absolute"] = "relative"
    """Whether effects are differences relative to the control's value, or absolute ones."""
    margin: Margin | None = None
    """Largest loss that is tolerated, on `scale`; null: any."""
    top: int = Field(default=10, ge=1)
    """Positions that ndcg looks at."""

    @property
    def ordering(self) -> bool:
        """Whether the served order makes the metric."""
        return self.kind in ("auc", "ndcg")


class ErrorGuard(Frozen):
    """Requests that failed or were served from defaults."""

    margin: Margin
    """By how much the variant's share of them may be above the control's."""


class LatencyGuard(Frozen):
    """A quantile of latency."""

    quantile: float = Field(default=0.99, gt=0.5, lt=1)
    """Which quantile."""
    margin: Margin
    """It may be at most (1 + this) times the control's."""
    slowest_ms: float = Field(default=0.0, ge=0)
    """Milliseconds below which it is fine whatever the control's."""


class Guardrails(Frozen):
    """What a variant may not make worse."""

    errors: ErrorGuard | None = None
    """Failed requests; null switches it off."""
    latency: LatencyGuard | None = None
    """Latency; null switches it off."""
    calibration: dict[str, tuple[Positive, Positive]] = Field(default={})
    """Task -> [low, high] of predicted over observed; empty switches it off."""

    @model_validator(mode="after")
    def _ordered(self) -> Guardrails:
        for task, (low, high) in self.calibration.items():
            if low >= high:
                raise ValueError(f"calibration.{task}: {low:g} is not below {high:g}")
        return self


class Cuped(Frozen):
    """Variance that behaviour before the experiment explains."""

    days: float = Field(default=14.0, ge=0)
    """How many days before the experiment are used; 0 switches it off."""


class ExperimentPolicy(Frozen):
    """When an experiment continues, is won or is lost."""

    alpha: Level
    """Error rate of each comparison, over all looks together."""
    srm_alpha: Level
    """Error rate of the test that the arms are as large as planned."""
    horizon: float = Field(gt=1)
    """Requests, in both arms, after which the intervals are tightest."""
    minimum_users: int = Field(ge=50)
    """Users per arm before which only a broken split decides."""
    attribution_hours: Positive
    """Hours after a request within which its outcomes count."""
    most_lost: float = Field(ge=0, le=1)
    """Share of exposures or of outcomes that may be lost; beyond it the verdict is `unusable` and
    nothing is applied."""
    largest_user: float = Field(gt=0, le=1)
    """Share of an arm's requests or candidates above which one user is left out of metrics and
    guardrails."""
    primary: Metric
    """The metric that decides."""
    secondary: tuple[Metric, ...] = ()
    """Metrics that are reported; one with a margin also ends the experiment when it loses more."""
    promote_when: Literal["better", "not_worse"]
    """better: surely better than the control; not_worse: surely not worse by `primary.margin`."""
    guardrails: Guardrails
    """What a variant may not make worse."""
    cuped: Cuped
    """Use of behaviour before the experiment."""
    on_mismatch: Literal["roll_back", "continue"]
    """What follows from arms of other sizes than planned; such an experiment is never promoted."""
    longest_days: Positive
    """Days after which an undecided experiment ends."""
    undecided: Literal["roll_back", "continue"]
    """What follows then."""

    @model_validator(mode="after")
    def _whole(self) -> ExperimentPolicy:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError("two metrics have one name")
        if self.promote_when == "not_worse" and self.primary.margin is None:
            raise ValueError("promote_when: not_worse needs primary.margin")
        return self

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.primary, *self.secondary)

    @property
    def attribution_ms(self) -> int:
        return round(self.attribution_hours * 3_600_000)

    @staticmethod
    def parse(text: str, *, where: str = "policy") -> ExperimentPolicy:
        """Read a policy's text over the defaults.

        Raises:
            DefinitionError: names the file, the key and what it must be.
        """
        document = parse(text, "a policy", where=where)
        defaults = parse(text_of(DEFAULT), "a policy", where=str(DEFAULT)).value
        return checked(ExperimentPolicy, document, over={**defaults, **document.value})

    @staticmethod
    def load(path: Path | None) -> ExperimentPolicy:
        """Read a policy file; None is the default policy. DefinitionError when it cannot be used."""
        path = path or DEFAULT
        return ExperimentPolicy.parse(text_of(path), where=str(path))
