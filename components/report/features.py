"""The features' part of the page: what the model loses without each, and how each is distributed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hemix.features.transform.statistics import REST, Histogram

if TYPE_CHECKING:
    from hemix.components.evaluate.feature_facts import FeatureFacts, Features, Importance

MOST_BINS = 12
WIDTH, HEIGHT = 192, 36
SHIFTED = 0.25
"""A population stability index above it is a real shift; below a tenth all is as it was."""


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """One feature: missing share and drift by split, and its bars as SVG."""

    name: str
    missing: dict[str, float]
    drift: dict[str, float]
    shifted: bool
    bars: str


@dataclass(frozen=True, kw_only=True)
class FeaturesView:
    """What the template shows; the features that drifted most come first."""

    task: str
    sample: int
    importances: tuple[Importance, ...]
    largest: float
    rows: tuple[FeatureRow, ...]


def features_view(features: Features) -> FeaturesView:
    """Rows for the tables."""
    rows = sorted(map(_row, features.features), key=lambda row: -row.drift["test"])
    losses = [abs(found.loss.value or 0.0) for found in features.importances]
    return FeaturesView(
        task=features.task,
        sample=features.rows,
        importances=features.importances,
        largest=max(losses, default=0.0),
        rows=tuple(rows),
    )


def _row(facts: FeatureFacts) -> FeatureRow:
    return FeatureRow(
        name=facts.name.removesuffix("_index").removesuffix("_scaled"),
        missing={split: found.missing for split, found in facts.histograms.items()},
        drift=facts.drift,
        shifted=facts.drift["test"] > SHIFTED,
        bars=bars(facts.histograms),
    )


def bars(histograms: dict[str, Histogram]) -> str:
    """Shares of the same bins in each split, side by side, as SVG; no text of the data is in it.

    Bins are those of training: a number's buckets and a sequence's lengths in their order, ids by how
    often they are seen, what lies beyond the first of them together at the end.
    """
    training = histograms["train"]
    names = [name for name in training.bins if name != REST][: MOST_BINS - 1]
    if training.kind != "ids":
        names = max((list(found.bins) for found in histograms.values()), key=len)
    shares = {split: _shares(found, names) for split, found in histograms.items()}
    count = max(len(values) for values in shares.values())
    top = max((value for values in shares.values() for value in values), default=0.0) or 1.0
    step = WIDTH / count
    wide = step * 0.8 / len(shares)
    drawn = [
        f'<rect x="{at * step + number * wide:.1f}" y="{HEIGHT * (1 - value / top):.1f}" '
        f'width="{wide:.1f}" height="{HEIGHT * value / top:.1f}" fill="var(--{split})"/>'
        for number, (split, values) in enumerate(shares.items())
        for at, value in enumerate(values)
        if value > 0
    ]
    return f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(drawn)}</svg>'


def _shares(found: Histogram, names: list[str]) -> list[float]:
    counts = dict(zip(found.bins, found.counts, strict=True))
    total = found.total or 1
    known = [counts.get(name, 0) / total for name in names]
    return [*known, max(1.0 - sum(known), 0.0)] if found.kind == "ids" else known
