"""Gate on examples and transformed data: coverage, ranges, unknown ids, drift, leakage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hemix.components.expectations import Suite, load, validate
from hemix.components.validate_features.drift import drift, missing_inputs
from hemix.components.validate_features.future import changed_features
from hemix.components.validate_features.leakage import single_feature_auc
from hemix.components.validate_features.profile import SPLITS, batches, coverage, ranges, unknown
from hemix.features.definition import DatasetDefinition
from hemix.features.transform.graph import TransformGraph
from hemix.features.transform.statistics import Statistics, statistics_of
from hemix.progress import say
from hemix.spec import FeatureSpec
from hemix.verdict import Check, Verdict

GATE = "validate_features"
MINIMUM_COVERAGE = 0.05
MINIMUM_COVERAGE_OF_TRAINING = 0.1
MAXIMUM_UNKNOWN = 0.95
MAXIMUM_UNKNOWN_RISE = 0.5
MAXIMUM_PSI = 0.25
MAXIMUM_AUC = 0.95
NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Limit:
    """``maximum`` or ``minimum`` of a column over the features is at most or at least ``value``."""

    column: str
    statistic: Literal["maximum", "minimum"] = "maximum"
    direction: Literal["at_most", "at_least"] = "at_most"
    value: float

    def expectation(self, gxe: Any) -> Any:
        kind = {
            "maximum": gxe.ExpectColumnMaxToBeBetween,
            "minimum": gxe.ExpectColumnMinToBeBetween,
        }[self.statistic]
        bound = "max_value" if self.direction == "at_most" else "min_value"
        return kind(column=self.column, **{bound: self.value})


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A table of measurements, a row a feature, and limits on its columns."""

    table: str
    frame: pd.DataFrame
    limits: tuple[Limit, ...]
    part: str = "all"
    rows: int = 0

    def suite(self, gxe: Any) -> Suite:
        """One expectation a limit."""
        return Suite(
            table=self.table,
            frame=self.frame,
            expectations=tuple(limit.expectation(gxe) for limit in self.limits),
            part=self.part,
        )

    def named(self, check: Check) -> Check:
        """The check with the features nearest to its limit, or beyond it, in its note."""
        for limit in self.limits:
            if check.slice != self.part or not check.check.startswith(
                f"{self.table}.{limit.column} "
            ):
                continue
            pick = self.frame.nlargest if limit.statistic == "maximum" else self.frame.nsmallest
            top = pick(NAMED, limit.column)
            if limit.value == 0:
                top = top[top[limit.column] > 0]
            pairs = zip(top["feature"], top[limit.column], strict=True)
            note = ", ".join(f"{name} {value:.4g}" for name, value in pairs)
            return check.model_copy(update={"note": note, "sample_size": self.rows})
        return check


def run(
    *,
    definition: DatasetDefinition,
    events: Path,
    examples: Path,
    transformed: Path,
    transform: Path,
    champion: Path | None,
    out_verdict: Path,
    out_docs: Path,
) -> Verdict:
    """Check features as they will be trained on; write the verdict and Data Docs.

    Every check names its worst features in ``note``.

    Args:
        definition: the data set definition.
        events: the events artifact.
        examples: the examples artifact.
        transformed: the transformed splits.
        transform: the transform artifact.
        champion: model version folder; None: there is no drift to measure.
        out_verdict: the verdict, JSON.
        out_docs: folder of Great Expectations' Data Docs.

    Raises:
        StorageError: an artifact is damaged or missing.
    """
    spec = FeatureSpec.read(transform / "spec.json")
    training = Statistics.read(transform / "statistics.json")
    measured: list[Measured] = []
    for split in SPLITS:
        say(f"validate_features: profile of {split}")
        found = training
        if split != "train":
            found = statistics_of(spec, batches(transformed / split))
        measured += _profile(spec, transformed / split, split, found, training)
    say("validate_features: leakage probes")
    tasks = [task.name for task in spec.tasks]
    measured.append(
        Measured(
            table="single_feature",
            frame=single_feature_auc(spec, transformed / "train"),
            limits=tuple(Limit(column=f"auc_{task}", value=MAXIMUM_AUC) for task in tasks),
            rows=training.rows,
        )
    )
    changed, compared = changed_features(definition, events, examples)
    measured.append(
        Measured(
            table="future_removed",
            frame=changed,
            limits=(Limit(column="changed", value=0.0),),
            rows=compared,
        )
    )
    extra = []
    if champion is not None:
        say("validate_features: drift against the champion")
        gone = missing_inputs(TransformGraph.load(champion / "transform"), examples)
        if gone:
            note = (
                f"drift not measured: the champion reads columns that are gone: {', '.join(gone)}"
            )
            extra.append(Check.of("drift.comparable", 0.0, 0.0, "at_least", note=note))
        else:
            measured.append(
                Measured(
                    table="drift",
                    frame=drift(definition, examples, champion / "transform"),
                    limits=(Limit(column="gated_psi", value=MAXIMUM_PSI),),
                    rows=training.rows,
                )
            )
    gxe = load()
    checks = validate([m.suite(gxe) for m in measured], out_docs)
    for m in measured:
        checks = [m.named(check) for check in checks]
    verdict = Verdict.of(GATE, [*checks, *extra])
    verdict.write(out_verdict)
    return verdict


def _profile(
    spec: FeatureSpec, folder: Path, split: str, found: Statistics, training: Statistics
) -> list[Measured]:
    limits = {
        "ranges": (Limit(column="outside", value=0.0),),
        "sequences": (
            Limit(column="non_empty_share", direction="at_least", value=MINIMUM_COVERAGE),
            Limit(
                column="of_training",
                statistic="minimum",
                direction="at_least",
                value=MINIMUM_COVERAGE_OF_TRAINING,
            ),
        ),
        "unknown_ids": (
            Limit(column="unknown_share", value=MAXIMUM_UNKNOWN if split == "train" else 1.0),
            Limit(column="gated_rise", value=MAXIMUM_UNKNOWN_RISE),
        ),
    }
    frames = {
        "ranges": ranges(spec, folder),
        "sequences": coverage(spec, found, training),
        "unknown_ids": unknown(spec, found, training),
    }
    return [
        Measured(table=name, frame=frame, limits=limits[name], part=split, rows=found.rows)
        for name, frame in frames.items()
    ]
