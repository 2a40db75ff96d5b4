"""Events in the form of Feast's push API: ``{"push_source_name", "df": {column: [...]}, "to"}``.

A platform that pushes rows to a Feast feature server pushes the same rows here; they become live
events. Columns are those of an event, with ``event_timestamp`` for its time and ``label_<task>`` for its
labels; what is null or NaN is not given. Where pandas made floats of a column's whole numbers,
since some of its rows lack them, labels and columns of the interactions are whole numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hemix.errors import RequestError

SOURCE = "hemix_events"
_FIELDS = ("push_source_name", "df", "to", "allow_registry_cache", "transform_on_write")
_OWN = ("event_id", "user_id", "item_id", "event_time", "known_at", "action", "request_id")
_LABEL = "label_"


def events_of_push(body: object) -> list[object]:
    """The events of a push, unchecked, in the order of its rows.

    Raises:
        RequestError: it is no push of :data:`SOURCE` to the online store, or its columns differ in length.
    """
    if not isinstance(body, dict) or not set(body) <= set(_FIELDS):
        raise RequestError(f"body: must be a JSON object of {', '.join(_FIELDS)}.")
    if body.get("push_source_name") != SOURCE:
        raise RequestError(f"push_source_name: must be {SOURCE}.")
    if body.get("to", "online") != "online":
        raise RequestError("to: must be online; the log is the offline store.")
    frame = body.get("df")
    if not isinstance(frame, dict) or not all(isinstance(v, list) for v in frame.values()):
        raise RequestError("df: give an object of columns, each a list.")
    if len({len(values) for values in frame.values()}) != 1:
        raise RequestError("df: columns must be of one length.")
    if {"event_time", "event_timestamp"} <= set(frame):
        raise RequestError("df: give event_timestamp or event_time, not both.")
    names = list(frame)
    return [_event(dict(zip(names, row, strict=True))) for row in zip(*frame.values(), strict=True)]


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    given = {k: v for k, v in row.items() if v is not None and v == v}
    event = {name: given.pop(name) for name in _OWN if name in given}
    if "event_timestamp" in given:
        event["event_time"] = given.pop("event_timestamp")
    given = {name: _whole(value) for name, value in given.items()}
    labels = {k.removeprefix(_LABEL): given.pop(k) for k in list(given) if k.startswith(_LABEL)}
    if labels:
        event["labels"] = labels
    if given:
        event["context"] = given
    return event


def _whole(value: Any) -> Any:
    """A float that is a whole number as that number; -0.0 and what a float may have rounded stay."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if whole and str(value) != "-0.0" else value
