"""The policy: a small strict YAML file; what it leaves out has the defaults of ``policy.yaml``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hemix.models.metrics.bootstrap import CALIBRATED, METRICS
from hemix.models.metrics.within_user import GAUC
from hemix.texts.documents import checked, read
from hemix.texts.frozen import Frozen
from hemix.texts.placeholders import as_parameter
from hemix.texts.plain_yaml import Fault

DEFAULT = Path(__file__).with_name("policy.yaml")
HINT = "components/validate_model/policy.yaml explains every key."
LATENCY = "latency p99 ms"
"""Name of the check that reads :class:`LatencyPolicy`."""


def _metric(name: str) -> str:
    if name == "gauc":
        raise ValueError(
            f"gauc of rows with the user's live state orders against the label and is not measured; "
            f"{GAUC} is the same of one state a user"
        )
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


class Limits(Frozen):
    """Limits of a task's metrics: auc, user_gauc, user_ndcg_at_10, user_mrr, user_hit_rate_at_1,
    impression_auc, ndcg_at_10, mrr, hit_rate_at_1, logloss, normalized_entropy, pcoc, ece."""

    floors: dict[Metric, Number] = Field(default={})
    """Metric -> the least it must be."""
    ceilings: dict[Metric, Number] = Field(default={})
    """Metric -> the most it may be."""
    bands: dict[Metric, tuple[Number, Number]] = Field(default={})
    """Metric -> [low, high] that it must lie within."""

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        for name, (low, high) in self.bands.items():
            if low > high:
                raise ValueError(f"bands.{name}: {low} is above {high}")
        return self


class SlicePolicy(Frozen):
    """Which slices count, and how much worse than the champion they may be."""

    margin: Margin
    """AUC by which a slice may be worse; it is harmed when the whole 95 % interval lies below minus
    this."""
    smallest_rows: int = Field(ge=1)
    """Slices of fewer rows are not judged."""
    smallest_positives: int = Field(ge=1)
    """Slices with fewer positive labels are not judged."""


class LatencyPolicy(Frozen):
    """How fast the loaded model must be, alone, one request at a time."""

    candidates: int = Field(ge=1, le=1000)
    """Candidates per request."""
    requests: int = Field(ge=10, le=100_000)
    """Requests that are timed."""
    p99_ms: float = Field(gt=0)
    """Milliseconds within which 99 % of the requests must be scored."""


class ParityPolicy(Frozen):
    """How closely the exported weights must give the scores of the ranker that was trained."""

    rows: int = Field(ge=1)
    """Test rows that are scored again."""
    requests: int = Field(ge=1)
    """Requests that are scored again, one at a time."""
    tolerance: float = Field(ge=0)
    """Largest difference allowed between two scores, as probabilities."""


class Policy(Limits):
    """The whole policy. Comparisons are paired bootstraps over users; "not worse" looks at the
    pessimistic end of the 95 % interval.
    """

    champion: dict[Directed, Margin]
    """Metric -> how much worse than the champion's it may be."""
    popularity: dict[Directed, Margin]
    """Metric -> how much worse than item popularity's it may be."""
    rule: dict[Directed, Margin]
    """Metric -> how much worse than the rule's it may be, by the optimistic end: the model is refused
    when the whole interval is worse. Where too few users or requests have a positive and a negative
    for an interval it is not judged."""
    boosting: dict[Directed, Margin]
    """Metric -> how much worse than gradient boosting's it may be; empty: reported only."""
    slices: SlicePolicy
    """No slice harmed."""
    latency: LatencyPolicy
    """How fast."""
    parity: ParityPolicy
    """How exact."""
    tasks: dict[str, Limits] = Field(default={})
    """Task -> limits that replace the common ones for it."""

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
