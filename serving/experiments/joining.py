"""Which exposures belong to the experiment, and which outcomes to which exposure.

Everything that is left out is counted, by reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hemix.serving.experiments.logs import ExposureTable, OutcomeTable
from hemix.serving.experiments.statistics.left_out import LeftOut

if TYPE_CHECKING:
    import polars as pl


HOUR_MS = 3_600_000
"""A retry comes this soon; a request id that comes again later was used again."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was in the logs and what became of it.

    Exposure lines: ``unreadable`` and ``other_layers`` (they do not know the layer) are not among
    ``lines``. ``repeated``: retries (the first line counts). ``reused``: their request id is also
    that of another user, other items or another hour, so that no outcome can be given to either.
    ``other_epochs``: of another split (earlier experiments, or before shares changed).
    ``other_variants``: of a variant or version that is not in the experiment. ``strayed_users``:
    users with two variants in one epoch. All of these are left out.
    Outcomes: ``outcomes`` could be read. ``orphans`` have no exposure, ``before_log`` neither, but
    came before the first; ``other_requests`` belong to exposures that were left out; ``ambiguous``
    have a reused request id; ``foreign_items`` were not in their request; ``early`` came before it,
    ``late`` after the window; ``duplicates`` again for the same request, item and task (the largest
    value counts).
    """

    lines: int
    unreadable: int
    other_layers: int
    repeated: int
    reused: int
    other_epochs: int
    other_variants: int
    strayed_users: int
    requests: int
    users: int
    outcomes: int
    outcomes_unreadable: int
    orphans: int
    before_log: int
    other_requests: int
    ambiguous: int
    foreign_items: int
    early: int
    late: int
    duplicates: int
    joined: int


@dataclass(frozen=True, kw_only=True)
class Joined:
    """``requests``: the experiment's exposures, one a request, in order of time. ``outcomes``: those
    that count, one a (request_id, item_id, task), with ``position`` in the request's item_ids.
    ``before``: exposures of other epochs that came before the experiment's first. ``examples``: the
    first that was left out for a reason of :class:`Counts`.
    """

    requests: pl.DataFrame
    outcomes: pl.DataFrame
    before: pl.DataFrame
    tasks: tuple[str, ...]
    counts: Counts
    examples: dict[str, str]


def join(
    exposures: ExposureTable,
    outcomes: OutcomeTable,
    *,
    epoch: str,
    window_ms: int,
    arms: Mapping[str, str] | None = None,
) -> Joined:
    """Take the exposures of ``epoch`` and the outcomes that follow them within ``window_ms``.

    Args:
        exposures: what was served.
        outcomes: what users did.
        epoch: which state of the layer's assignment is wanted.
        window_ms: time after a request within which its outcomes count.
        arms: variant -> version (empty: any) of the experiment; None takes all.
    """
    import polars as pl

    lines = exposures.rows
    reused = _reused(lines)
    once = lines.join(reused, on="request_id", how="anti", maintain_order="left").unique(
        "request_id", keep="first", maintain_order=True
    )
    of_epoch = once.filter(pl.col("epoch") == epoch)
    own = _of_arms(of_epoch, arms)
    strayed = (
        own.group_by("user_id").agg(pl.col("variant").n_unique()).filter(pl.col("variant") > 1)
    )
    requests = own.join(strayed, on="user_id", how="anti", maintain_order="left")
    start = requests["request_ms"].min()
    before = once.filter(pl.col("epoch") != epoch)
    before = before.filter(pl.col("request_ms") < start) if start is not None else before.clear()
    kept, left_out = attribute(requests, outcomes.rows, window_ms=window_ms, log=lines)
    again = lines.join(reused, on="request_id", how="semi", maintain_order="left")
    foreign = of_epoch.join(own, on="request_id", how="anti", maintain_order="left")
    left_out.add("ambiguous", *_shown(_with(outcomes.rows, reused), _OUTCOME))
    left_out.counts["other_requests"] = left_out.counts.get(
        "other_requests", 0
    ) - left_out.counts.get("ambiguous", 0)
    for reason, rows in (("reused", again), ("other_variants", foreign)):
        left_out.add(reason, *_shown(rows, _EXPOSURE))
    left_out.add("unreadable", exposures.unreadable, exposures.example)
    left_out.add("outcomes_unreadable", outcomes.unreadable, outcomes.example)
    counts = {name: left_out.counts.get(name, 0) for name in _LEFT_OUT}
    return Joined(
        requests=requests,
        outcomes=kept,
        before=before,
        tasks=exposures.tasks,
        counts=Counts(
            lines=lines.height,
            other_layers=exposures.other_layers,
            repeated=lines.height - again.height - once.height,
            other_epochs=once.height - of_epoch.height,
            strayed_users=strayed.height,
            requests=requests.height,
            users=requests["user_id"].n_unique(),
            outcomes=outcomes.rows.height,
            joined=kept.height,
            **counts,
        ),
        examples=left_out.examples,
    )


def _reused(lines: pl.DataFrame) -> pl.DataFrame:
    """The request ids that more than one request had."""
    import polars as pl

    again = lines.filter(pl.col("request_id").is_duplicated())
    times = pl.col("request_ms")
    return (
        again.with_columns(pl.col("item_ids").list.join("\n"))
        .group_by("request_id", maintain_order=True)
        .agg(
            (pl.col("user_id").n_unique() > 1)
            | (pl.col("item_ids").n_unique() > 1)
            | (times.max() - times.min() > HOUR_MS)
        )
        .filter(pl.col("user_id"))
        .select("request_id")
    )


def _of_arms(rows: pl.DataFrame, arms: Mapping[str, str] | None) -> pl.DataFrame:
    import polars as pl

    if arms is None:
        return rows
    versions = [version for version in arms.values() if version]
    own = pl.col("variant").is_in(list(arms))
    if versions:  # a request may be served by the other arm's version, when its own cannot
        own = own & pl.col("version").is_in([*versions, ""])
    return rows.filter(own)


def attribute(
    requests: pl.DataFrame,
    outcomes: pl.DataFrame,
    *,
    window_ms: int,
    log: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, LeftOut]:
    """The outcomes of ``requests`` and, by reason, how many others there were.

    An outcome may come again, and in any order: the result does not depend on it.

    Args:
        requests: exposures ``[R]``.
        outcomes: what users did.
        window_ms: time after a request within which its outcomes count.
        log: all exposures that there are; None: ``requests``.
    """
    import polars as pl

    log = requests if log is None else log
    left_out = LeftOut()
    found = outcomes.join(
        requests.select("request_id", "request_ms", "item_ids"), on="request_id", how="inner"
    )
    others = outcomes.join(requests, on="request_id", how="anti")
    unknown = others.join(log, on="request_id", how="anti")
    first = log["request_ms"].min()
    old = pl.col("time_ms") < (first if first is not None else 0)
    left_out.add("other_requests", others.height - unknown.height)
    left_out.add("before_log", *_shown(unknown.filter(old), _OUTCOME))
    left_out.add("orphans", *_shown(unknown.filter(~old), _OUTCOME))
    places = (
        requests.join(outcomes.select("request_id").unique(), on="request_id", how="semi")
        .select("request_id", item_id="item_ids")
        .with_columns(position=pl.int_ranges(pl.col("item_id").list.len()))
        .explode("item_id", "position")
        .drop_nulls()
        .unique(["request_id", "item_id"], keep="first", maintain_order=True)
    )
    foreign = found.join(places, on=["request_id", "item_id"], how="anti")
    left_out.add("foreign_items", *_shown(foreign, (*_OUTCOME, "item_ids")))
    shown = found.drop("item_ids").join(places, on=["request_id", "item_id"], how="inner")
    delay = pl.col("time_ms") - pl.col("request_ms")
    for reason, when in (("early", delay < 0), ("late", delay > window_ms)):
        left_out.add(reason, *_shown(shown.filter(when), (*_OUTCOME, "request_ms")))
    timely = shown.filter(delay.is_between(0, window_ms))
    kept = (
        timely.sort("value", "time_ms", descending=[True, False])
        .unique(["request_id", "item_id", "task"], keep="first", maintain_order=True)
        .sort("request_id", "task", "position")
        .drop("request_ms")
    )
    left_out.add("duplicates", timely.height - kept.height)
    return kept, left_out


_OUTCOME = ("request_id", "item_id", "task", "value", "time_ms")
_EXPOSURE = ("request_id", "user_id", "variant", "version", "request_ms")
_LEFT_OUT = (
    "unreadable",
    "reused",
    "other_variants",
    "outcomes_unreadable",
    "orphans",
    "before_log",
    "other_requests",
    "ambiguous",
    "foreign_items",
    "early",
    "late",
    "duplicates",
)


def _with(outcomes: pl.DataFrame, ids: pl.DataFrame) -> pl.DataFrame:
    return outcomes.join(ids, on="request_id", how="semi", maintain_order="left")


def _shown(rows: pl.DataFrame, columns: tuple[str, ...]) -> tuple[int, str]:
    """How many rows, and the first as text (the same one in any order of the log)."""
    if rows.is_empty():
        return 0, ""
    first = rows.select(columns).sort(*(c for c in columns if c != "item_ids")).row(0, named=True)
    return rows.height, ", ".join(f"{name} {_text(name, value)}" for name, value in first.items())


def _text(name: str, value: object) -> str:
    if name in ("time_ms", "request_ms") and isinstance(value, int):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
        return f"{value} ({moment:%Y-%m-%d %H:%M:%S} UTC)" if abs(value) < 10**14 else str(value)
    if isinstance(value, list):
        more = f" and {len(value) - 3:,} more" if len(value) > 3 else ""
        return ", ".join(repr(entry) for entry in value[:3]) + more
    return repr(value)
