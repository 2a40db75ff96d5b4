"""What a definition says of a log's files: sources, labels, behaviours of interactions, sequences."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WrapValidator,
)

from hemix.features.split import Part
from hemix.features.text_rules import TextRules
from hemix.features.times import clock, duration, realtime_window

Seconds = Annotated[int, BeforeValidator(duration), Field(ge=0)]
RealtimeWindow = Annotated[Literal["day", "last"] | Seconds, WrapValidator(realtime_window)]


Scalar = bool | int | float | str
Some = Annotated[tuple[Scalar, ...], Field(min_length=1)]
Clock = Annotated[str, AfterValidator(clock)]


class NoneOf(Part):
    """Values that rows must not have."""

    none_of: tuple[Scalar, ...] = Field(min_length=1)
    """The values."""


def _said_only(default: Any) -> Any:
    """A key that is left out of digests where it says nothing."""
    return Field(default=default, exclude_if=lambda value: value == default)


class TableSource(Part, TextRules):
    """Files that hold one table, and which of their columns are which of ours."""

    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or globs; local (relative to `root`), s3:// or gs://."""
    format: Literal["auto", "parquet", "csv"] = "auto"
    """Kind of the files; auto: by their names."""
    columns: dict[str, str]
    """Our name -> the log's column. In interactions and behaviors known_at is when a row became known
    (arrived, was written): ingest holds availability_delay to it."""
    constants: dict[str, str | int | float | bool] = Field(default={})
    """Our name -> a value that every row has."""
    explode: tuple[str, ...] = ()
    """Parallel list columns of the log: one row per list element. The place in the list, from 1, is
    the column $position."""
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Unit of epoch numbers; auto: dates and times only, numbers are refused."""
    time_format: Annotated[str, Field(min_length=1)] | None = _said_only(None)
    """How times are written that are not ISO 8601, by the signs of strftime: "%d.%m.%Y %H:%M"."""
    time_of_day: Clock | None = _said_only(None)
    """Instant of the day, UTC, that a date without one stands for; null: midnight."""
    where: dict[str, Scalar | Some | NoneOf] = _said_only({})
    """The log's column -> the value, or one of the values, that a row must have to be read, or
    {none_of: [...]}. Values are compared as texts."""
    lists: dict[str, Annotated[str, Field(min_length=1)]] = _said_only({})
    """The log's column -> how its lists are written as text: json, or the sign between elements; or
    list, where they are lists already. Of a column that stands here, columns may name an element:
    genres[1] is the first."""


def _exactly(value: float | int) -> float | int:
    """A float where it says the same: definitions keep the digests that they had."""
    try:
        as_float = float(value)
    except OverflowError as error:
        raise ValueError("has more digits than a number of the log can have") from error
    return as_float if as_float == value else value


Bound = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | int,
    Field(union_mode="smart"),
    AfterValidator(_exactly),
]
"""A number as it is written, whole ones beyond 2^53 too."""


class Label(Part):
    """How a 0/1 label is read off a column."""

    column: str
    """The log's column."""
    at_least: Bound | None = None
    """The label is 1 where the column is at least this; null: the column is 0 or 1 itself."""
    contains_item: bool = False
    """The label is 1 where the column, a list, holds the row's item."""
    equals_item: bool = Field(default=False, exclude_if=lambda value: not value)
    """The label is 1 where the column is the row's item."""
    equals: Scalar | Some | None = Field(default=None, exclude_if=lambda value: value is None)
    """The label is 1 where the column is this value, or one of these."""

    @property
    def by_value(self) -> bool:
        """True when the column holds an item or a value, and not a number or a flag."""
        return self.equals_item or self.equals is not None


class InteractionSource(TableSource):
    """What is predicted: needs user_id, item_id, event_time; request_id when the log has one."""

    labels: dict[str, Label]
    """Task -> how its label is read."""


class BehaviorSource(TableSource):
    """What sequences are made of: needs user_id, item_id, event_time, action (column or constant)."""

    exact_time: bool = True
    """false: the order is true but event_time is only an upper bound; the events keep their list
    order and their time features are masked, not invented."""


class DerivedBehaviors(Part):
    """Behaviours read off the interactions themselves."""

    actions: dict[str, str]
    """Task -> name of an action, weakest first: an interaction becomes one event with the last
    action whose label is 1."""
    otherwise: str | None = None
    """Action of an interaction with no positive label; null: it makes no event."""


class Sequences(Part):
    """The two behaviour sequences of a user; the most recent events are kept.

    An event is visible to an interaction at t when ``event_time + availability_delay + serving_lag < t``.
    """

    columns: tuple[str, ...] = ()
    """Item attributes carried beside each event's item id."""
    global_length: int = Field(default=50, ge=1, le=10_000)
    """Events of the global sequence: visible events before the real-time window."""
    realtime_length: int = Field(default=20, ge=1, le=10_000)
    """Events of the real-time sequence: visible events within its window."""
    realtime_window: RealtimeWindow = "day"
    """The window that ends at the interaction: day (since the last UTC midnight), a length of time
    such as 6h, or last (the `realtime_length` most recent events, whatever their time)."""
    # Left out when false: definitions that do not say it keep the digests and names they had.
    overlap: bool = Field(default=False, exclude_if=lambda value: not value)
    """The global sequence holds all visible events, those of the real-time one too."""
    availability_delay: Seconds = 0
    """How long after an event the system knows of it."""
    known_late_at_most: float = Field(
        default=0.0, ge=0, le=1, allow_inf_nan=False, exclude_if=lambda value: value == 0.0
    )
    """Where sources name known_at: share of their rows that may have become known later than
    availability_delay says; beyond it ingest refuses the log."""
    serving_lag: Seconds | None = Field(default=None, exclude_if=lambda value: value is None)
    """How long after that a request can see it: the publication interval where the endpoint is told no
    live events, 0 where it is. Added to availability_delay in training, evaluation and serving alike.
    Null: not said; `hemix schedule` then takes its own interval, anything else takes 0."""

    @property
    def delay_s(self) -> int:
        """Seconds after an event from which on an interaction may see it."""
        return self.availability_delay + (self.serving_lag or 0)
