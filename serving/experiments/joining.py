"""Which exposures belong to the experiment, and which outcomes to which exposure.

Everything that is left out is counted, by reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.experiments.logs import ExposureTable, OutcomeTable

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was in the logs and what became of it.

    ``repeated``: lines with a request id seen before (retries; the first line counts).
    ``other_epochs``: lines of another split (earlier experiments, or before shares changed).
    ``strayed_users``: users with two variants in one epoch; they are left out.
    Outcomes: ``orphans`` have no request in the experiment, ``foreign_items`` were not in their
    request, ``early`` came before it, ``late`` after the window, ``duplicates`` again for the same
    request, item and task (the largest value counts).
    """

    lines: int
    unreadable: int
    repeated: int
    other_epochs: int
    strayed_users: int
    requests: int
    users: int
    outcomes: int
    outcomes_unreadable: int
    orphans: int
    foreign_items: int
    early: int
    late: int
    duplicates: int
    joined: int


@dataclass(frozen=True, kw_only=True)
class Joined:
    """``requests``: the experiment's exposures, one a request, in order of time. ``outcomes``: those
    that count, one a (request_id, item_id, task), with ``position`` in the request's item_ids.
    ``before``: exposures of other epochs that came before the experiment's first.
    """

    requests: pl.DataFrame
    outcomes: pl.DataFrame
    before: pl.DataFrame
    tasks: tuple[str, ...]
    counts: Counts


def join(exposures: ExposureTable, outcomes: OutcomeTable, *, epoch: str, window_ms: int) -> Joined:
    """Take the exposures of ``epoch`` and the outcomes that follow them within ``window_ms``."""
    import polars as pl

    lines = exposures.rows
    once = lines.unique("request_id", keep="first", maintain_order=True)
    own = once.filter(pl.col("epoch") == epoch)
    strayed = (
        own.group_by("user_id").agg(pl.col("variant").n_unique()).filter(pl.col("variant") > 1)
    )
    requests = own.join(strayed, on="user_id", how="anti", maintain_order="left")
    start = requests["request_ms"].min()
    before = once.filter(pl.col("epoch") != epoch)
    before = before.filter(pl.col("request_ms") < start) if start is not None else before.clear()
    kept, reasons = attribute(requests, outcomes.rows, window_ms=window_ms)
    return Joined(
        requests=requests,
        outcomes=kept,
        before=before,
        tasks=exposures.tasks,
        counts=Counts(
            lines=lines.height,
            unreadable=exposures.unreadable,
            repeated=lines.height - once.height,
            other_epochs=once.height - own.height,
            strayed_users=strayed.height,
            requests=requests.height,
            users=requests["user_id"].n_unique(),
            outcomes=outcomes.rows.height,
            outcomes_unreadable=outcomes.unreadable,
            joined=kept.height,
            **reasons,
        ),
    )


def attribute(
    requests: pl.DataFrame, outcomes: pl.DataFrame, *, window_ms: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The outcomes of ``requests`` and, by reason, how many others there were.

    An outcome may come again, and in any order: the result does not depend on it.
    """
    import polars as pl

    found = outcomes.join(
        requests.select("request_id", "request_ms", "item_ids"), on="request_id", how="inner"
    )
    orphans = outcomes.height - found.height
    places = (
        requests.join(outcomes.select("request_id").unique(), on="request_id", how="semi")
        .select("request_id", item_id="item_ids")
        .with_columns(position=pl.int_ranges(pl.col("item_id").list.len()))
        .explode("item_id", "position")
        .drop_nulls()
        .unique(["request_id", "item_id"], keep="first", maintain_order=True)
    )
    shown = found.drop("item_ids").join(places, on=["request_id", "item_id"], how="inner")
    delay = pl.col("time_ms") - pl.col("request_ms")
    early, late = shown.filter(delay < 0).height, shown.filter(delay > window_ms).height
    timely = shown.filter(delay.is_between(0, window_ms))
    kept = (
        timely.sort("value", "time_ms", descending=[True, False])
        .unique(["request_id", "item_id", "task"], keep="first", maintain_order=True)
        .sort("request_id", "task", "position")
        .drop("request_ms")
    )
    return kept, {
        "orphans": orphans,
        "foreign_items": found.height - shown.height,
        "early": early,
        "late": late,
        "duplicates": timely.height - kept.height,
    }
