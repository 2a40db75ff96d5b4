"""What a definition says of how a candidate stands in its request: rank, mean, ratio to the mean.

They are worked out by :func:`hemix.features.derived.among_candidates.within_request`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hemix.features.split import Part

Statistic = Literal["rank", "count", "min", "max", "mean", "ratio_to_mean"]
LOGARITHMIC = frozenset({"rank", "count"})
"""Scaled by logarithm; a ratio is not, the rest is scaled as the number they are made of."""


class WithinRequest(Part):
    """Numbers that tell how each candidate stands among those of its request.

    They are called ``OF_STATISTIC_in_request``. A field's ``serve_as`` has no part in them.
    """

    of: str
    """The number they are made of: a numeric field of the candidate or of items, a counter of items,
    or item_age_days."""
    statistics: tuple[Statistic, ...] = Field(min_length=1)
    """rank: 1 for the least value; equal values share the least rank, missing ones come last
    together. count: candidates whose value is known. min, max, mean: over those; missing when there
    is none. ratio_to_mean: the value by the mean; missing when either is, or the mean is 0."""

    def column(self, statistic: str) -> str:
        """Name of a column, e.g. ``price_rank_in_request``."""
        return f"{self.of}_{statistic}_in_request"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.column(statistic) for statistic in self.statistics)
