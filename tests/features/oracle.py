"""What build_examples means, said slowly: plain Python, one interaction at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, TypeVar

from hemix.features.declared_sources import Sequences
from hemix.features.definition import DatasetDefinition
from hemix.features.parts import Counted, Counter
from hemix.features.schema import INEXACT_GAP, MISSING_INT, ColumnTypes, label_column

Row = dict[str, Any]
Event = TypeVar("Event")
DAY = 86_400_000
STATISTICS = ("rank", "count", "min", "max", "mean", "ratio_to_mean")


def missing(kind: object) -> object:
    return {"string": "", "double": math.nan}.get(str(kind), MISSING_INT)


def is_missing(value: object) -> bool:
    return value in ("", MISSING_INT) or (isinstance(value, float) and math.isnan(value))


def as_of(rows: list[Row], key: str, value: object, time: int) -> Row | None:
    """The latest version of an id that is valid at ``time``."""
    known = [r for r in rows if r[key] == value and r["valid_from"] <= time]
    return max(known, key=lambda r: r["valid_from"]) if known else None


def distinct(behaviors: list[Row]) -> list[Row]:
    """Each event once, in order."""
    seen: set[tuple[object, ...]] = set()
    result = []
    for row in sorted(
        behaviors,
        key=lambda r: (r["event_time"], r["position"], r["item_id"], r["action"], r["time_exact"]),
    ):
        identity = (
            row["user_id"],
            row["item_id"],
            row["event_time"],
            row["action"],
            row["time_exact"],
        )
        if not row["time_exact"]:
            identity = (*identity, row["position"])
        if identity not in seen:
            seen.add(identity)
            result.append(row)
    return result


def split(
    rule: Sequences, visible: list[Event], time: int, time_of: Callable[[Event], int]
) -> dict[str, list[Event]]:
    """The two sequences at ``time`` of a user's visible events, oldest first."""
    if rule.realtime_window == "last":
        recent = visible[-rule.realtime_length :]
        older = visible[: len(visible) - len(recent)]
    else:
        slide = None if rule.realtime_window == "day" else rule.realtime_window * 1000
        start = time // DAY * DAY if slide is None else time - slide
        older = [e for e in visible if time_of(e) < start]
        recent = [e for e in visible if time_of(e) >= start]
    if rule.overlap:
        older = visible
    return {"global": older[-rule.global_length :], "realtime": recent[-rule.realtime_length :]}


def standing(statistic: str, value: float, of_all: list[float]) -> float:
    """A statistic of one candidate among all candidates of its request, by the contract."""
    known = [v for v in of_all if not math.isnan(v)]
    if statistic == "rank":
        return 1.0 + (len(known) if math.isnan(value) else sum(v < value for v in known))
    if statistic == "count":
        return float(len(known))
    if not known:
        return math.nan
    if statistic in ("min", "max"):
        return (min if statistic == "min" else max)(known) + 0.0
    mean = float(sum(map(Fraction, known))) / len(known)
    if statistic == "mean":
        return mean
    return math.nan if math.isnan(value) or mean == 0 else value / mean + 0.0


class Oracle:
    """A log held as lists of rows; times are int milliseconds."""

    def __init__(
        self,
        definition: DatasetDefinition,
        types: ColumnTypes,
        behaviors: list[Row],
        interactions: list[Row],
        users: list[Row],
        items: list[Row],
    ) -> None:
        self.definition = definition
        self.types = types
        self.behaviors = distinct(behaviors)
        self.interactions = interactions
        self.users = users
        self.items = items
        self.delay = definition.sequences.delay_s * 1000

    def item_value(self, name: str, item: object, time: int) -> object:
        row = as_of(self.items, "item_id", item, time)
        return missing(self.types.items[name]) if row is None else row[name]

    def key(self, counter: Counter, row: Row) -> tuple[object, ...] | None:
        """The key's parts as of an interaction or a behaviour; None when one is missing."""
        parts = [
            row[name]
            if name in ("user_id", "item_id", *self.definition.context_columns)
            else self.item_value(name, row["item_id"], row["event_time"])
            for name in counter.keys
        ]
        return None if any(map(is_missing, parts)) else tuple(parts)

    def counted(self, counter: Counter, what: Counted, row: Row) -> list[int]:
        """Times of the known events that a counter counts for an interaction, whatever their window."""
        mine, time = self.key(counter, row), row["event_time"]
        if mine is None:
            return []
        if what.action:
            events = [e for e in self.behaviors if e["time_exact"]]
        else:
            events = self.interactions
        known = [e for e in events if e["event_time"] + self.delay < time]
        if counter.is_pair:
            own = sorted(e["event_time"] for e in known if e["user_id"] == row["user_id"])
            oldest = own[-counter.last :][0] if own else 0
            known = [e for e in known if e["event_time"] >= oldest]
        if what.action:
            known = [e for e in known if e["action"] == what.name]
        elif what.name != "impression":
            known = [e for e in known if e[label_column(what.name)] == 1]
        return [e["event_time"] for e in known if self.key(counter, e) == mine]

    def counter(self, counter: Counter, row: Row) -> Row:
        """All columns of a counter."""
        result, time = {}, row["event_time"]
        for what in counter.counted(self.definition.tasks):
            times = self.counted(counter, what, row)
            for window in counter.windows:
                seconds = Counter.window_seconds(window)
                inside = [t for t in times if seconds is None or time - seconds * 1000 <= t]
                result[what.column(window)] = len(inside)
            if counter.since_last:
                result[what.since] = (time - max(times)) // 1000 if times else -1
        return result

    def matches(self, example: Row) -> Row:
        """All columns of the matches, of an example that has its sequences."""
        result = {}
        for match in self.definition.matches:
            mine = example[match.column]
            for sequence in match.sequences:
                values = example[f"{sequence}_{match.column}"]
                gaps = example[f"{sequence}_gap_s"]
                hits = [value == mine and not is_missing(mine) for value in values]
                result[match.count(sequence)] = sum(hits)
                for last in match.last:
                    result[match.count(sequence, last)] = sum(hits[-last:])
                of_hits = [gap for gap, hit in zip(gaps, hits, strict=True) if hit]
                result[match.since(sequence)] = of_hits[-1] if of_hits else -1
        return result

    def sequences(self, user: object, time: int) -> dict[str, list[Row]]:
        visible = [
            e
            for e in self.behaviors
            if e["user_id"] == user and e["event_time"] + self.delay < time
        ]
        return split(self.definition.sequences, visible, time, lambda e: int(e["event_time"]))

    def example(self, row: Row) -> Row:
        definition, time = self.definition, row["event_time"]
        moment = datetime.fromtimestamp(time / 1000, UTC)
        result = dict(row)
        if "hour" in definition.time_fields:
            result["hour"] = moment.hour
        if "weekday" in definition.time_fields:
            result["weekday"] = moment.weekday()
        user = as_of(self.users, "user_id", row["user_id"], time)
        for name in definition.user_columns:
            result[name] = missing(self.types.users[name]) if user is None else user[name]
        for name in definition.item_columns:
            result[name] = self.item_value(name, row["item_id"], time)
        if definition.has_item_age:
            item = as_of(self.items, "item_id", row["item_id"], time)
            created = item["created_at"] if item else None
            age = math.nan if created is None else max(0, time - created) / DAY
            result["item_age_days"] = age
        for counter in definition.counters:
            result |= self.counter(counter, row)
        for sequence, events in self.sequences(row["user_id"], time).items():
            result[f"{sequence}_item_id"] = [e["item_id"] for e in events]
            for name in definition.sequences.columns:
                result[f"{sequence}_{name}"] = [
                    self.item_value(name, e["item_id"], e["event_time"]) for e in events
                ]
            result[f"{sequence}_action"] = [e["action"] for e in events]
            result[f"{sequence}_gap_s"] = [
                (time - e["event_time"]) // 1000 if e["time_exact"] else INEXACT_GAP for e in events
            ]
        return result | self.matches(result)

    def examples(self) -> list[Row]:
        keys = ["event_time", "user_id", "item_id", "request_id", *self.definition.context_columns]
        keys += [label_column(task) for task in self.definition.tasks]
        # NaN stands last, as Arrow sorts it; of itself it has no place in an order.
        rows = sorted(
            self.interactions,
            key=lambda r: (
                [(True, 0) if r[n] != r[n] else (False, r[n]) for n in keys],
                # -0.0 before 0.0, where all else is equal.
                [str(r[n]) != "-0.0" for n in keys],
            ),
        )
        made = [self.example(row) for row in rows]
        for mine in self.definition.within_request:
            of_all = [float(row[mine.of]) for row in made]
            for row in made:
                key = ("request_id", "user_id", "event_time")
                peers = [
                    value
                    for value, other in zip(of_all, made, strict=True)
                    if all(other[name] == row[name] for name in key)
                ]
                for statistic in mine.statistics:
                    column = mine.column(statistic)
                    row[column] = standing(statistic, float(row[mine.of]), peers)
        return made
