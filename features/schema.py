"""Arrow schemas of every table that one step hands to the next. Units stand in the names or here.

Times are ``timestamp[ms, UTC]``. Ids are int64 or string, as the log has them. A missing
categorical value is :data:`MISSING_INT` or ``""``, a missing number is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition

TIME = pa.timestamp("ms", tz="UTC")
MISSING_INT = -(2**63)
MISSING_STRING = ""
SEQUENCES = ("global", "realtime")
FACTS = ("in_a_split", "user_in_users", "item_in_items", "user_has_behaviors")
"""0/1 columns that validate_data adds to the interactions."""
DERIVED_SLICES = ("user_activity", "item_age")
"""Slices of the evaluation that no definition names."""
INEXACT_GAP = -1
"""Time gap, in seconds, of an event whose time is only known as an upper bound."""


@dataclass(frozen=True, kw_only=True)
class ColumnTypes:
    """Arrow types (int64, string or float64) of the log's own columns, found at ingest.

    ``user_id`` and ``item_id`` are int64 or string. ``users``, ``items`` and ``context`` map
    attribute names to types: categorical attributes are int64 or string, numeric ones float64.
    """

    user_id: pa.DataType
    item_id: pa.DataType
    users: dict[str, pa.DataType]
    items: dict[str, pa.DataType]
    context: dict[str, pa.DataType]

    def to_json(self) -> dict[str, object]:
        return {
            "user_id": str(self.user_id),
            "item_id": str(self.item_id),
            **{
                side: {name: str(kind) for name, kind in getattr(self, side).items()}
                for side in ("users", "items", "context")
            },
        }

    @staticmethod
    def from_json(value: dict[str, object]) -> ColumnTypes:
        def kind(name: object) -> pa.DataType:
            return pa.type_for_alias("float64" if name == "double" else str(name))

        def kinds(side: str) -> dict[str, pa.DataType]:
            names = value[side]
            assert isinstance(names, dict)
            return {name: kind(text) for name, text in names.items()}

        return ColumnTypes(
            user_id=kind(value["user_id"]),
            item_id=kind(value["item_id"]),
            users=kinds("users"),
            items=kinds("items"),
            context=kinds("context"),
        )


def label_column(task: str) -> str:
    """Name of a task's 0/1 column."""
    return f"label_{task}"


def sequence_column(sequence: str, column: str) -> str:
    """Name of a sequence's list column, e.g. ``global_item_id``."""
    return f"{sequence}_{column}"


def behaviors_schema(types: ColumnTypes) -> pa.Schema:
    """Events that sequences are made of.

    ``position`` orders events that share user and time (the list order of inexact histories).
    """
    return pa.schema(
        [
            ("user_id", types.user_id),
            ("item_id", types.item_id),
            ("event_time", TIME),
            ("action", pa.string()),
            ("time_exact", pa.bool_()),
            ("position", pa.int32()),
        ]
    )


def interactions_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """What is predicted: keys, declared context columns, one int8 label a task."""
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("user_id", types.user_id),
            ("item_id", types.item_id),
            ("event_time", TIME),
            *((name, types.context[name]) for name in definition.context_columns),
            *((label_column(task), pa.int8()) for task in definition.tasks),
        ]
    )


def users_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """One row a user: id, declared attributes, ``valid_from`` (epoch when always known)."""
    return pa.schema(
        [
            ("user_id", types.user_id),
            *((name, types.users[name]) for name in definition.user_columns),
            ("valid_from", TIME),
        ]
    )


def items_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """One row an item: id, declared attributes, ``created_at`` when declared, ``valid_from``."""
    created = [("created_at", TIME)] if definition.has_item_age else []
    return pa.schema(
        [
            ("item_id", types.item_id),
            *((name, types.items[name]) for name in definition.item_columns),
            *created,
            ("valid_from", TIME),
        ]
    )


def examples_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """One row an interaction with everything known just before it (raw values, not ids).

    Order of columns: keys, labels, context, time fields (int64), user attributes, item attributes,
    ``item_age_days`` (float64, NaN when unknown), counters (int64), then for each sequence the
    parallel lists ``item_id``, the side columns, ``action`` (string) and ``gap_s`` (int64 seconds
    from event to interaction, rounded down; :data:`INEXACT_GAP` where the time is not exact).
    Side columns are the item's attributes as of the event, so that a history never changes
    afterwards; the item's own attributes are as of the interaction. A missing key has counts of 0.
    """
    age = [("item_age_days", pa.float64())] if definition.has_item_age else []
    columns = [
        ("item_id", types.item_id),
        *((name, types.items[name]) for name in definition.sequences.columns),
        ("action", pa.string()),
        ("gap_s", pa.int64()),
    ]
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("user_id", types.user_id),
            ("item_id", types.item_id),
            ("event_time", TIME),
            *((label_column(task), pa.int8()) for task in definition.tasks),
            *((name, types.context[name]) for name in definition.context_columns),
            *((name, pa.int64()) for name in definition.time_fields),
            *((name, types.users[name]) for name in definition.user_columns),
            *((name, types.items[name]) for name in definition.item_columns),
            *age,
            *((name, pa.int64()) for name in definition.counter_columns),
            *(
                (sequence_column(sequence, name), pa.list_(kind))
                for sequence in SEQUENCES
                for name, kind in columns
            ),
        ]
    )


def user_state_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """A user as of an instant: counters, and the recent events serving makes sequences of.

    ``history_*`` lists are parallel, oldest first. They hold the union of the last
    ``global_length`` events, the last ``realtime_length`` events of the real-time window and the
    last ``global_length`` events before that window, so that the sequences of the instant and of
    any later time without new events can be cut from them exactly. A real-time window that slides
    (seconds) may later begin anywhere inside itself, so all of its events stay. Where the two
    sequences overlap, or the window is the ``last`` events, they hold both sequences and no more.
    """
    counters = [c for c in definition.counter_columns if definition.side_of(c) == "user"]
    return pa.schema(
        [
            ("user_id", types.user_id),
            ("as_of", TIME),
            *((name, pa.int64()) for name in counters),
            ("history_item_id", pa.list_(types.item_id)),
            *(
                (f"history_{name}", pa.list_(types.items[name]))
                for name in definition.sequences.columns
            ),
            ("history_action", pa.list_(pa.string())),
            ("history_event_time_ms", pa.list_(pa.int64())),
            ("history_time_exact", pa.list_(pa.int64())),
        ]
    )


def item_state_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """An item as of an instant: its own counters and those of its attributes (author, ...)."""
    counters = [c for c in definition.counter_columns if definition.side_of(c) == "item"]
    return pa.schema(
        [
            ("item_id", types.item_id),
            ("as_of", TIME),
            *((name, pa.int64()) for name in counters),
        ]
    )
