"""Arrow schemas of every table that one step hands to the next. Units stand in the names or here.

Times are ``timestamp[ms, UTC]``. Ids are int64 or string, as the log has them. A missing
categorical value is :data:`MISSING_INT` or ``""``, a missing number is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from hemix.features.parts import Counter

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition

TIME = pa.timestamp("ms", tz="UTC")
MISSING_INT = -(2**63)
MISSING_STRING = ""
SEQUENCES = ("global", "realtime")
SHOWN, ACTED = "shown_", "acted_"
"""Beginnings of the names of :func:`pair_lists`."""
FACTS = (
    "in_a_split",
    "user_in_users",
    "item_in_items",
    "user_has_behaviors",
    "user_had_behaviors",
)
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
    """One row per user: id, declared attributes, ``valid_from`` (epoch when always known)."""
    return pa.schema(
        [
            ("user_id", types.user_id),
            *((name, types.users[name]) for name in definition.user_columns),
            ("valid_from", TIME),
        ]
    )


def items_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """One row per item: id, declared attributes, ``created_at`` when declared, ``valid_from``."""
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
    ``item_age_days`` (float64, NaN when unknown), counters and matches (int64), statistics within
    the request (float64, NaN when unknown), then for each
    sequence the parallel lists ``item_id``, the side columns, ``action`` (string) and ``gap_s`` (int64 seconds
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
            *((name, pa.int64()) for name in definition.match_columns),
            *((name, pa.float64()) for name in definition.within_request_columns),
            *(
                (sequence_column(sequence, name), pa.list_(kind))
                for sequence in SEQUENCES
                for name, kind in columns
            ),
        ]
    )


def state_columns(counter: Counter, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """What the state holds of a counter that is no pair: its counts, and when the last ones were."""
    counted = counter.counted(tasks)
    counts = [one.column(window) for one in counted for window in counter.windows]
    return (*counts, *(one.last_ms for one in counted if counter.since_last))


def pair_list_names(definition: DatasetDefinition) -> dict[str, tuple[str, ...]]:
    """What the lists of :func:`pair_lists` hold, by the beginning of their names."""
    names: dict[str, tuple[str, ...]] = {}
    for prefix, action in ((SHOWN, False), (ACTED, True)):
        if pairs := pairs_of(definition, action=action):
            keys = dict.fromkeys(counter.keys[1] for counter in pairs)
            flags = ("action",) if action else tuple(map(label_column, definition.tasks))
            names[prefix] = ("event_time_ms", *keys, *flags)
    return names


def pair_lists(definition: DatasetDefinition, types: ColumnTypes) -> dict[str, pa.DataType]:
    """The parallel lists of a user's recent events that counters of pairs look at, oldest first.

    ``shown_*`` hold interactions and their labels, ``acted_*`` behaviours and their actions; each
    the most recent ones that any counter of a pair looks at.
    """
    fixed = {"event_time_ms": pa.int64(), "action": pa.string()}
    fixed |= {label_column(task): pa.int64() for task in definition.tasks}
    return {
        prefix + name: pa.list_(fixed.get(name) or type_of_key(definition, types, name))
        for prefix, names in pair_list_names(definition).items()
        for name in names
    }


def pairs_of(definition: DatasetDefinition, *, action: bool) -> tuple[Counter, ...]:
    """The counters of pairs that count actions of behaviours, or events of the interactions."""
    return tuple(
        counter
        for counter in definition.counters
        if counter.is_pair and any(c.action == action for c in counter.counted(definition.tasks))
    )


def type_of_key(definition: DatasetDefinition, types: ColumnTypes, key: str) -> pa.DataType:
    """The type of a column that counters go by."""
    if key in ("user_id", "item_id"):
        return types.user_id if key == "user_id" else types.item_id
    return types.items[key] if key in definition.item_columns else types.context[key]


def user_state_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """A user as of an instant: counters, and the recent events serving makes sequences of.

    ``history_*`` lists are parallel, oldest first. They hold the union of the last
    ``global_length`` events, the last ``realtime_length`` events of the real-time window and the
    last ``global_length`` events before that window, so that the sequences of the instant and of
    any later time without new events can be cut from them exactly. A real-time window that slides
    (seconds) may later begin anywhere inside itself, so all of its events stay. Where the two
    sequences overlap, or the window is the ``last`` events, they hold both sequences and no more.
    Counters of pairs are counted at the request, from the lists of :func:`pair_lists`.
    """
    return pa.schema(
        [
            ("user_id", types.user_id),
            ("as_of", TIME),
            *((name, pa.int64()) for name in _state_counters(definition, by_user=True)),
            ("history_item_id", pa.list_(types.item_id)),
            *(
                (f"history_{name}", pa.list_(types.items[name]))
                for name in definition.sequences.columns
            ),
            ("history_action", pa.list_(pa.string())),
            ("history_event_time_ms", pa.list_(pa.int64())),
            ("history_time_exact", pa.list_(pa.int64())),
            *pair_lists(definition, types).items(),
        ]
    )


def _state_counters(definition: DatasetDefinition, *, by_user: bool) -> list[str]:
    return [
        name
        for counter in definition.counters
        if counter.by_user == by_user and not counter.is_pair
        for name in state_columns(counter, definition.tasks)
    ]


def item_state_schema(definition: DatasetDefinition, types: ColumnTypes) -> pa.Schema:
    """An item as of an instant: its own counters and those of its attributes (author, ...)."""
    return pa.schema(
        [
            ("item_id", types.item_id),
            ("as_of", TIME),
            *((name, pa.int64()) for name in _state_counters(definition, by_user=False)),
        ]
    )
