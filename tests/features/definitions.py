"""A small definition as people write one, and its YAML with single values changed."""

from __future__ import annotations

import copy
from typing import Any

PLAIN: dict[str, Any] = {
    "name": "radio",
    "interactions": [
        {
            "paths": ["plays.csv"],
            "columns": {
                "user_id": "listener",
                "item_id": "song",
                "event_time": "at",
                "source": "source",
                "volume": "volume",
            },
            "labels": {"heard": {"column": "heard"}, "kept": {"column": "kept"}},
        }
    ],
    "derived_behaviors": {"actions": {"heard": "heard", "kept": "kept"}, "otherwise": "skip"},
    "users": [
        {"paths": ["u.csv"], "columns": {"user_id": "listener", "plan": "plan", "age": "age"}}
    ],
    "items": [
        {
            "paths": ["i.csv"],
            "columns": {"item_id": "song", "genre": "genre", "length": "length", "made": "made"},
        }
    ],
    "item_created_at": "made",
    "tasks": ["heard", "kept"],
    "categorical": [{"name": name} for name in ("user_id", "item_id", "source", "plan", "genre")],
    "numeric": [{"name": "volume"}, {"name": "age"}, {"name": "length"}],
    "sequences": {"columns": ["genre"]},
    "counters": [{"key": "user_id"}, {"key": "genre", "windows": ["6h", "ever"]}],
    "slices": ["source"],
    "split": {
        "train": {"start": "2031-02-01", "end": "2031-02-20"},
        "test": {"start": "2031-02-20", "end": "2031-02-24"},
    },
}


def plain(**changes: Any) -> dict[str, Any]:
    """A copy of :data:`PLAIN`; ``a__0__b=value`` sets a nested value."""
    value = copy.deepcopy(PLAIN)
    for key, new in changes.items():
        here: Any = value
        *parents, last = (int(part) if part.isdigit() else part for part in key.split("__"))
        for part in parents:
            here = here[part]
        here[last] = new
    return value


def renamed(old: str, new: str) -> dict[str, Any]:
    """:data:`PLAIN` with one of our names changed wherever it stands."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                (new if key == old else key): member
                if key in ("columns", "column") and isinstance(member, str)
                else walk(member)
                for key, member in value.items()
            }
        if isinstance(value, list):
            return [walk(member) for member in value]
        return new if value == old else value

    return walk(copy.deepcopy(PLAIN))  # type: ignore[no-any-return]
