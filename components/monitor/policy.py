"""The monitor's policy: a small strict YAML file; what it leaves out has the values of ``policy.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hemix.texts.documents import checked, read

DEFAULT = Path(__file__).with_name("policy.yaml")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DriftPolicy(_Part):
    """Largest population stability index of a feature, and the requests that it takes to judge."""

    psi: Positive
    minimum_samples: Rows


class CalibrationPolicy(_Part):
    """Where predicted over observed must lie, and the outcomes that it takes to judge."""

    band: tuple[Positive, Positive]
    minimum_outcomes: Rows
    attribution_hours: Positive
    most_lost: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> CalibrationPolicy:
        if self.band[0] > self.band[1]:
            raise ValueError(f"band: {self.band[0]} is above {self.band[1]}")
        return self


class FreshnessPolicy(_Part):
    """Largest age of the newest row of a feature view."""

    hours: Positive


class UnknownPolicy(_Part):
    """Largest shares of unknown users and candidates, and the requests that it takes to judge."""

    users: Share
    items: Share
    minimum_requests: Rows


class MonitorPolicy(_Part):
    """The whole policy."""

    window_hours: Positive
    drift: DriftPolicy
    calibration: CalibrationPolicy
    freshness: FreshnessPolicy
    unknown: UnknownPolicy

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
