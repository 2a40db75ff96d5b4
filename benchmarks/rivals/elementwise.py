"""Examples of a generated log in Beam, one element a row: the way the guides show it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.log import read_types
from hemix.features.parts import Counter
from hemix.features.schema import examples_schema

DAY_MS = 86_400_000
Row = dict[str, Any]


def build(definition: DatasetDefinition, events: Path, out: Path) -> None:
    """Write Parquet with the columns of ours; exact times and one version an id."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    schema = examples_schema(definition, read_types(events))
    users = {row["user_id"]: row for row in read(str(events / "users" / "part-0.parquet"))}
    items = {row["item_id"]: row for row in read(str(events / "items" / "part-0.parquet"))}
    out.mkdir(parents=True)
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:

        def table(name: str) -> Any:
            paths = sorted(str(path) for path in (events / name).glob("day=*/*.parquet"))
            return pipeline | f"{name} files" >> beam.Create(paths) | name >> beam.FlatMap(read)

        rows = table("interactions") | "attributes" >> beam.Map(join, users, items)
        sequences = (
            {
                "rows": rows | "row by user" >> beam.Map(lambda row: (row["user_id"], row)),
                "events": table("behaviors")
                | "event by user" >> beam.Map(lambda row: (row["user_id"], row)),
            }
            | "users" >> beam.CoGroupByKey()
            | "sequences" >> beam.FlatMap(make_sequences, definition, items)
        )
        parts = {"sequences": sequences}
        for counter in definition.counters:
            key = counter.keys[0]
            parts[key] = (
                rows
                | f"by {key}" >> beam.Map(lambda row, key=key: (row[key], row))
                | f"group {key}" >> beam.GroupByKey()
                | f"count {key}" >> beam.FlatMap(make_counts, definition, counter)
            )
        (
            parts
            | "together" >> beam.CoGroupByKey()
            | "merge" >> beam.MapTuple(merge)
            | beam.io.WriteToParquet(
                str(out / "part"), schema, codec="zstd", file_name_suffix=".parquet"
            )
        )


def read(path: str) -> Iterator[Row]:
    yield from pq.ParquetFile(path).read().to_pylist()


def join(row: Row, users: dict[Any, Row], items: dict[Any, Row]) -> Row:
    time: datetime = row["event_time"]
    result = {**row, **users[row["user_id"]], **items[row["item_id"]]}
    del result["valid_from"]
    return {**result, "hour": time.hour, "weekday": time.weekday()}


def ms(time: datetime) -> int:
    return round(time.astimezone(UTC).timestamp() * 1000)


def make_sequences(
    element: tuple[Any, dict[str, Iterable[Row]]],
    definition: DatasetDefinition,
    items: dict[Any, Row],
) -> Iterator[tuple[str, Row]]:
    _, group = element
    unique = {
        (ms(e["event_time"]), e["position"], e["item_id"], e["action"]) for e in group["events"]
    }
    events = sorted(unique)
    times = [event[0] for event in events]
    rule = definition.sequences
    for row in group["rows"]:
        time = ms(row["event_time"])
        end = bisect_left(times, time)
        if rule.realtime_window == "last":
            split = max(0, end - rule.realtime_length)
        elif rule.realtime_window == "day":
            split = bisect_left(times, time - time % DAY_MS)
        else:
            split = bisect_left(times, time - rule.realtime_window * 1000)
        older = end if rule.overlap else split
        spans = {
            "global": events[max(0, older - rule.global_length) : older],
            "realtime": events[max(split, end - rule.realtime_length) : end],
        }
        result = dict(row)
        for name, seen in spans.items():
            result[f"{name}_item_id"] = [item for _, _, item, _ in seen]
            for column in rule.columns:
                result[f"{name}_{column}"] = [items[item][column] for _, _, item, _ in seen]
            result[f"{name}_action"] = [action for _, _, _, action in seen]
            result[f"{name}_gap_s"] = [(time - at) // 1000 for at, _, _, _ in seen]
        yield row["request_id"], result


def make_counts(
    element: tuple[Any, Iterable[Row]], definition: DatasetDefinition, counter: Counter
) -> Iterator[tuple[str, Row]]:
    _, group = element
    rows = sorted(
        ((ms(row["event_time"]), row["request_id"], row) for row in group), key=lambda r: r[:2]
    )
    times = [time for time, _, _ in rows]
    totals: dict[str, list[int]] = {}
    for event in definition.counter_events(counter):
        total = [0]
        for _, _, row in rows:
            total.append(total[-1] + (1 if event == "impression" else row[f"label_{event}"]))
        totals[event] = total
    for time, request, _ in rows:
        end = bisect_left(times, time)
        result: Row = {}
        for window in counter.windows:
            seconds = Counter.window_seconds(window)
            start = 0 if seconds is None else bisect_left(times, time - seconds * 1000)
            for event, total in totals.items():
                result[counter.column(event, window)] = total[end] - total[start]
        yield request, result


def merge(request: str, parts: dict[str, Iterable[Row]]) -> Row:
    result: Row = {}
    for found in parts.values():
        for row in found:
            result |= row
    return result
