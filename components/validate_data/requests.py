"""Does every request have one value of what the definition says that a request has one value of?"""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT, MISSING_STRING
from hemix.verdict import Check

ONE_VALUE_SHARE = 0.99
"""Requests of which a field has one value. The rest were trained on what no request can send."""


def request_checks(definition: DatasetDefinition, interactions: pa.Table) -> list[Check]:
    """A check for each field of the request, and for user and time where statistics need them.

    A failed one names the field, the share of requests that have one value, a request that has
    more, and the mend.
    """
    checks = [
        _check(
            interactions,
            name,
            f"if each candidate has its own {name}, write per: candidate in the definition",
        )
        for name in definition.request_columns
    ]
    if definition.within_request:
        mend = "statistics within the request are of rows that share request, user and time"
        checks += [_check(interactions, name, mend) for name in ("user_id", "event_time")]
    return checks


def _check(interactions: pa.Table, name: str, mend: str) -> Check:
    frame = pl.DataFrame({key: pl.Series(interactions[key]) for key in ("request_id", name)})
    is_number = frame.schema[name].is_float()
    ends = frame.group_by("request_id").agg(
        least=pl.col(name).min(),
        most=pl.col(name).max(),
        nothing=pl.col(name).is_nan().sum() if is_number else pl.lit(0),
        rows=pl.len(),
    )
    # Of numbers, least and most leave NaN out: some missing and some not are two values.
    mixed = (pl.col("nothing") > 0) & (pl.col("nothing") < pl.col("rows"))
    several = ends.filter((pl.col("least") != pl.col("most")) | mixed).sort("request_id")
    share = 1.0 - several.height / max(ends.height, 1)
    note = ""
    if several.height:
        request = several["request_id"][0]
        values = frame.filter(pl.col("request_id") == request)[name].unique(maintain_order=True)
        shown = ", ".join(_shown(value) for value in values[:3].to_list())
        note = f"{several.height} requests have more, {request!r} has {shown}; {mend}"
    return Check.of(
        f"interactions.{name}: requests with one value",
        share,
        ONE_VALUE_SHARE,
        "at_least",
        sample_size=ends.height,
        note=note,
    )


def _shown(value: Any) -> str:
    missing = value in (MISSING_INT, MISSING_STRING) or value != value
    return "a missing value" if missing else str(value)
