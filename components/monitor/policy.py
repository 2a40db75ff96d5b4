"""The monitor's policy: a small strict YAML file; what it leaves out has the values of ``policy.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from hemix.texts.documents import checked, read
from hemix.texts.frozen import Frozen

DEFAULT = Path(__file__).with_name("policy.yaml")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=1)]


class DriftPolicy(Frozen):
    """How far a served feature may move from its training distribution."""

    psi: Positive
    """Largest population stability index of a feature."""
    minimum_samples: Rows
    """Requests counted before drift is judged."""


class CalibrationPolicy(Frozen):
    """Where predicted over observed must lie, per task and variant."""

    band: tuple[Positive, Positive]
    """[low, high] of predicted over observed."""
    minimum_outcomes: Rows
    """Outcomes before calibration is judged."""
    attribution_hours: Positive
    """Hours after a request within which its outcomes count."""
    most_lost: float = Field(default=0.1, ge=0, le=1)
    """Share of exposures or outcomes that may be lost; beyond it calibration is not judged."""

    @model_validator(mode="after")
    def _ordered(self) -> CalibrationPolicy:
        if self.band[0] > self.band[1]:
            raise ValueError(f"band: {self.band[0]} is above {self.band[1]}")
        return self


class FreshnessPolicy(Frozen):
    """How old the features may be."""

    hours: Positive
    """Largest age of the newest row of a feature view."""


class UnknownPolicy(Frozen):
    """How many ids the feature store may lack."""

    users: Share
    """Largest share of requests from users that the store lacks."""
    items: Share
    """Largest share of candidates that the store lacks."""
    minimum_requests: Rows
    """Requests before the shares are judged."""


class MonitorPolicy(Frozen):
    """The whole policy of monitoring."""

    window_hours: Positive
    """Hours back that are looked at."""
    drift: DriftPolicy
    """Drift of features."""
    calibration: CalibrationPolicy
    """Calibration of scores."""
    freshness: FreshnessPolicy
    """Age of features."""
    unknown: UnknownPolicy
    """Unknown users and items."""

    @staticmethod
    def load(path: Path | None = None) -> MonitorPolicy:
        """The default policy with what ``path`` says put over it, key by key.

        Raises:
            DefinitionError: not YAML, an unknown key or a value that does not fit; tells every
                fault with its line and key.
        """
        value = read(DEFAULT, "a policy").value
        document = read(path or DEFAULT, "a policy")
        for key, new in document.value.items():
            both = isinstance(new, dict) and isinstance(value.get(key), dict)
            value[key] = {**value[key], **new} if both else new
        hint = "components/monitor/policy.yaml explains every key."
        return checked(MonitorPolicy, document, over=value, hint=hint)
