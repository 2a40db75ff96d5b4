"""The policy: a small strict YAML file; what it leaves out has the defaults of ``policy.yaml``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hemix.models.metrics.bootstrap import CALIBRATED, METRICS
from hemix.texts.documents import checked, read
from hemix.texts.placeholders import as_parameter
from hemix.texts.plain_yaml import Fault

DEFAULT = Path(__file__).with_name("policy.yaml")
HINT = "components/validate_model/policy.yaml explains every key."


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
    return name


def _loss_or_ranking(name: str) -> str:
    if _metric(name) == "pcoc":
        raise ValueError("pcoc is best at 1, neither high nor low: use bands")
    return name


Metric = Annotated[str, AfterValidator(_metric)]
Directed = Annotated[str, AfterValidator(_loss_or_ranking)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def lower_is_better(metric: str) -> bool:
    """True for losses and errors."""
    return metric in CALIBRATED


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Part):
    """Limits of one task's metrics."""

    floors: dict[Metric, Number] = {}
    ceilings: dict[Metric, Number] = {}
    bands: dict[Metric, tuple[Number, Number]] = {}

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        for name, (low, high) in self.bands.items():
            if low > high:
                raise ValueError(f"bands.{name}: {low} is above {high}")
        return self


class SlicePolicy(_Part):
    """Which slices count and how much worse than the champion they may be (AUC)."""

    margin: Margin
    smallest_rows: int = Field(ge=1)
    smallest_positives: int = Field(ge=1)


class LatencyPolicy(_Part):
    """p99 milliseconds of ``requests`` requests with ``candidates`` candidates each."""

    candidates: int = Field(ge=1, le=1000)
    requests: int = Field(ge=10, le=100_000)
    p99_ms: float = Field(gt=0)


class ParityPolicy(_Part):
    """How many rows and requests are scored again, and the largest difference allowed."""

    rows: int = Field(ge=1)
    requests: int = Field(ge=1)
    tolerance: float = Field(ge=0)


class Policy(Limits):
    """The whole policy; ``champion``, ``popularity`` and ``boosting`` are allowed losses a metric."""

    champion: dict[Directed, Margin]
    popularity: dict[Directed, Margin]
    boosting: dict[Directed, Margin]
    slices: SlicePolicy
    latency: LatencyPolicy
    parity: ParityPolicy
    tasks: dict[str, Limits] = {}

    def limits(self, task: str) -> Limits:
        """The limits of one task: the common ones, then the task's own."""
        own = self.tasks.get(task, Limits())
        return Limits(
            floors={**self.floors, **own.floors},
            ceilings={**self.ceilings, **own.ceilings},
            bands={**self.bands, **own.bands},
        )

    @staticmethod
    def load(path: Path | None = None, tasks: Collection[str] | None = None) -> Policy:
        """The default policy with what ``path`` says put over it, section by section.

        ``tasks``: those of the data set; a policy for another task is refused. None: any.

        Raises:
            DefinitionError: not YAML, an unknown key or a value that does not fit; tells every
                fault with its line and key.
        """
        value = read(DEFAULT, "a policy").value
        document = read(path or DEFAULT, "a policy")
        for key, new in document.value.items():
            known = key in ("slices", "latency", "parity") and isinstance(new, dict)
            value[key] = {**value[key], **new} if known else new
        named = document.value.get("tasks")
        unknown = [] if tasks is None or not isinstance(named, dict) else [*named.keys() - tasks]
        faults = [
            Fault(
                place=("tasks", task),
                message=f"there is no task {task!r}; the definition's: {', '.join(tasks or ())}",
            )
            for task in sorted(unknown)
        ]
        return checked(Policy, document, over=value, hint=HINT, more=faults)


def policy_text(path: Path, tasks: Collection[str] | None = None) -> str:
    """A policy file's content as a parameter of a pipeline; errors as those of :meth:`Policy.load`."""
    Policy.load(path, tasks)
    return as_parameter(read(path, "a policy").value)
