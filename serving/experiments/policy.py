"""The experiment's policy: a small strict YAML file; what it leaves out has ``policy.yaml``'s values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hemix.texts.documents import checked, parse, text_of

DEFAULT = Path(__file__).with_name("policy.yaml")

Kind = Literal["rate", "per_request", "per_user", "auc", "ndcg"]
Level = Annotated[float, Field(gt=0, lt=0.5)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Part):
    """A ratio of sums over users.

    - ``rate``: values over outcomes (click-through when outcomes are impressions)
    - ``per_request``, ``per_user``: values over requests, over users
    - ``auc``, ``ndcg``: how well the served order puts a request's outcomes above 0 first, averaged
      over the requests that have both kinds (ndcg: at ``top``)

    ``margin`` is the largest loss that is tolerated, on the metric's scale; None: any.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    kind: Kind
    task: str
    direction: Literal["increase", "decrease"] = "increase"
    scale: Literal["relative", "absolute"] = "relative"
    margin: Margin | None = None
    top: int = Field(default=10, ge=1)

    @property
    def ordering(self) -> bool:
        """Whether the served order makes the metric."""
        return self.kind in ("auc", "ndcg")


class ErrorGuard(_Part):
    """Share of requests that failed or were served from defaults, at most ``margin`` above the control's."""

    margin: Margin


class LatencyGuard(_Part):
    """A quantile of latency: at most (1 + ``margin``) of the control's, or below ``slowest_ms``."""

    quantile: float = Field(default=0.99, gt=0.5, lt=1)
    margin: Margin
    slowest_ms: float = Field(default=0.0, ge=0)


class Guardrails(_Part):
    """What a variant may not make worse; None or empty switches one off."""

    errors: ErrorGuard | None = None
    latency: LatencyGuard | None = None
    calibration: dict[str, tuple[Positive, Positive]] = {}

    @model_validator(mode="after")
    def _ordered(self) -> Guardrails:
        for task, (low, high) in self.calibration.items():
            if low >= high:
                raise ValueError(f"calibration.{task}: {low:g} is not below {high:g}")
        return self


class Cuped(_Part):
    """How far back behaviour explains variance, before the experiment; 0 switches it off."""

    days: float = Field(default=14.0, ge=0)


class ExperimentPolicy(_Part):
    """The whole file; see ``policy.yaml`` for what each key means."""

    alpha: Level
    srm_alpha: Level
    horizon: float = Field(gt=1)
    minimum_users: int = Field(ge=50)
    attribution_hours: Positive
    most_lost: float = Field(ge=0, le=1)
    largest_user: float = Field(gt=0, le=1)
    primary: Metric
    secondary: tuple[Metric, ...] = ()
    promote_when: Literal["better", "not_worse"]
    guardrails: Guardrails
    cuped: Cuped
    on_mismatch: Literal["roll_back", "continue"]
    longest_days: Positive
    undecided: Literal["roll_back", "continue"]

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
