"""The smallest and oddest logs that the guide allows, each made in a folder of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

START = datetime(2024, 3, 1, tzinfo=UTC)
Row = dict[str, Any]


def rows(
    *,
    users: int = 12,
    items: int = 9,
    number: int = 600,
    days: float = 3,
    user: Callable[[int], Any] = lambda n: f"u{n}",
    item: Callable[[int], Any] = lambda n: f"i{n}",
    seed: int = 11,
) -> list[Row]:
    """Rows evenly over ``days`` from :data:`START`; some items are better liked than others."""
    draw = random.Random(seed)
    step = timedelta(days=days) / number
    made = []
    for n in range(number):
        i = draw.randrange(items)
        made.append(
            {
                "who": user(draw.randrange(users)),
                "what": item(i),
                "at": (START + n * step).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "place": draw.choice("ab"),
                "price": round(draw.uniform(1, 90), 2),
                "bought": int(draw.random() < 0.2 + 0.4 * (i % 2)),
                "kept": int(draw.random() < 0.3),
            }
        )
    return made


def write_csv(path: Path, table: list[Row]) -> None:
    names = list(table[0])
    lines = [",".join(names), *(",".join(str(row[n]) for n in names) for row in table)]
    path.write_text("\n".join(lines) + "\n")


def bare(**changes: Any) -> dict[str, Any]:
    """Ids, time and one label: nothing else; ``changes`` replace or add keys."""
    return {
        "name": "bare",
        "interactions": [
            {
                "paths": ["log.csv"],
                "columns": {"user_id": "who", "item_id": "what", "event_time": "at"},
                "labels": {"buy": {"column": "bought"}},
            }
        ],
        "derived_behaviors": {"actions": {"buy": "buy"}},
        "tasks": ["buy"],
        "categorical": [{"name": "user_id"}, {"name": "item_id"}],
        "split": {
            "train": {"start": "2024-03-01", "end": "2024-03-03"},
            "test": {"start": "2024-03-03", "end": "2024-03-04"},
        },
        **changes,
    }


@dataclass(frozen=True, kw_only=True)
class OddLog:
    """A definition and the files it names; ``context`` and ids are those of a request that fits."""

    definition: dict[str, Any]
    files: dict[str, list[Row]]
    user: Any = "u1"
    items: tuple[Any, ...] = ("i0", "i1", "i2")
    context: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the files and ``definition.yaml``; returns the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.files.items():
            write_csv(folder / name, table)
        path = folder / "definition.yaml"
        path.write_text(yaml.safe_dump(self.definition, sort_keys=False))
        return path


def _log(**columns: str) -> list[dict[str, Any]]:
    """The interactions' source with more columns."""
    (source,) = bare()["interactions"]
    return [{**source, "columns": {**source["columns"], **columns}}]


def _fields(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in ("user_id", "item_id", *names)]


def ids_and_one_label() -> OddLog:
    """Ids, time, label; not even the time of day is a feature, and behaviours are purchases alone."""
    return OddLog(definition=bare(time_fields=[]), files={"log.csv": rows()})


def users_without_attributes() -> OddLog:
    """Both tables are there and say nothing but which ids exist; ids are numbers."""
    log = rows(user=lambda n: n, item=lambda n: 70 + n)
    return OddLog(
        definition=bare(
            users=[{"paths": ["users.csv"], "columns": {"user_id": "who"}}],
            items=[{"paths": ["items.csv"], "columns": {"item_id": "what"}}],
            counters=[{"key": "user_id", "windows": ["ever"]}],
        ),
        files={
            "log.csv": log,
            "users.csv": [{"who": n} for n in range(12)],
            "items.csv": [{"what": 70 + n} for n in range(9)],
        },
        user=3,
        items=(70, 71),
    )


def age_is_all_we_know() -> OddLog:
    """An item's only attribute is when it came into being; users have a number and no category."""
    return OddLog(
        definition=bare(
            users=[{"paths": ["users.csv"], "columns": {"user_id": "who", "listed": "size"}}],
            items=[{"paths": ["items.csv"], "columns": {"item_id": "what", "made": "made"}}],
            item_created_at="made",
            numeric=[{"name": "listed", "scale": "linear"}],
        ),
        files={
            "log.csv": rows(),
            "users.csv": [{"who": f"u{n}", "size": n * 1.5 - 3} for n in range(12)],
            "items.csv": [{"what": f"i{n}", "made": f"2024-02-{n + 1:02d}"} for n in range(9)],
        },
    )


def one_of_each() -> OddLog:
    """One user reads the one item again and again within a day; an hour's window slides."""
    return OddLog(
        definition=bare(
            interactions=_log(place="place", price="price"),
            categorical=_fields("place"),
            numeric=[{"name": "price"}],
            counters=[{"key": "item_id", "events": ["impression"], "windows": ["1h"]}],
            sequences={"realtime_window": "1h", "global_length": 1, "realtime_length": 1},
            slices=["place", "hour"],
            split={
                "train": {"start": "2024-03-01T00:00:00", "end": "2024-03-01T16:00:00"},
                "test": {"start": "2024-03-01T16:00:00", "end": "2024-03-02"},
            },
        ),
        files={"log.csv": rows(users=1, items=1, days=1)},
        user="u0",
        items=("i0",),
        context={"place": "a", "price": 3},
    )


def histories_of_few() -> OddLog:
    """Behaviours come from a file of their own and only one user in six has any; two tasks."""
    earlier = rows(users=2, number=40, days=0.5, seed=3)
    source = _log()[0]
    return OddLog(
        definition={
            key: value
            for key, value in bare(
                interactions=[
                    {**source, "labels": {**source["labels"], "keep": {"column": "kept"}}}
                ],
                behaviors=[
                    {
                        "paths": ["earlier.csv"],
                        "columns": {"user_id": "who", "item_id": "what", "event_time": "at"},
                        "constants": {"action": "read"},
                        "exact_time": False,
                    }
                ],
                tasks=["buy", "keep"],
                sequences={"realtime_window": "last", "overlap": True},
            ).items()
            if key != "derived_behaviors"
        },
        files={"log.csv": rows(), "earlier.csv": earlier},
    )


def names_of_others() -> OddLog:
    """Columns and tasks called like torch's, Python's and our own things elsewhere."""
    names = ["type", "items", "training", "valid_from", "item_age_days", "version", "variable"]
    log = [{**row, **{name: f"{name}-{row['place']}" for name in names}} for row in rows()]
    (source,) = _log(**{name: name for name in names})
    source["labels"] = {"forward": {"column": "bought"}, "keys": {"column": "kept"}}
    return OddLog(
        definition=bare(
            interactions=[source],
            tasks=["forward", "keys"],
            derived_behaviors={"actions": {"keys": "keep"}},
            categorical=_fields(*names),
            slices=["type", "version"],
        ),
        files={"log.csv": log},
        context={name: f"{name}-a" for name in names},
    )


ODD: dict[str, Callable[[], OddLog]] = {
    made.__name__: made
    for made in (
        ids_and_one_label,
        users_without_attributes,
        age_is_all_we_know,
        one_of_each,
        histories_of_few,
        names_of_others,
    )
}
