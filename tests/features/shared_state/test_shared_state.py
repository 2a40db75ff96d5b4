"""Rows of one moment a user, held to the slow contract of the examples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from hemix.features.definition import DatasetDefinition
from hemix.features.parts import Counter
from hemix.features.schema import ColumnTypes, examples_schema
from hemix.features.shared_state.columns import (
    columns_of_moments,
    columns_of_rates,
    columns_of_rows,
    own_columns,
    personal_columns,
    personal_numbers,
)
from hemix.features.shared_state.moments import Moments, rows_at
from hemix.features.shared_state.personal import _statistics, personal_values
from hemix.features.shared_state.rows import SharedRows
from hemix.features.transform_plan import make_plan
from tests.features.logs import SmallLog, comparable, definition, logs
from tests.features.oracle import Oracle, Row, standing

TYPES = ColumnTypes(
    user_id=pa.int64(),
    item_id=pa.int64(),
    users={"city": pa.string(), "fans": pa.float64()},
    items={"author_id": pa.int64(), "tag": pa.string(), "size": pa.float64()},
    context={"tab": pa.int64(), "price": pa.float64()},
)


class OfMoments(Oracle):
    """The oracle, asked about a row's own pair at another time."""

    def key(self, counter: Counter, row: Row) -> tuple[object, ...] | None:
        return super().key(counter, {**row, "event_time": row.get("of", row["event_time"])})


def slow(log: SmallLog, examples: list[Row], kind: str) -> list[Row]:
    """Every row's columns of user and candidate as of the first row of its user (request)."""
    oracle = OfMoments(
        log.definition, log.types, log.behaviors, log.interactions, log.users, log.items
    )
    found = []
    for row in examples:
        first = min(e["event_time"] for e in examples if e[kind] == row[kind])
        asked = {**row, "event_time": first, "of": row["event_time"]}
        made: Row = {}
        for counter in log.definition.counters:
            if counter.is_pair:
                made |= oracle.counter(counter, asked)
        for sequence, events in oracle.sequences(
            next(e["user_id"] for e in examples if e[kind] == row[kind]
                 and e["event_time"] == first), first,
        ).items():  # fmt: skip
            asked[f"{sequence}_item_id"] = [e["item_id"] for e in events]
            asked[f"{sequence}_author_id"] = [
                oracle.item_value("author_id", e["item_id"], e["event_time"]) for e in events
            ]
            asked[f"{sequence}_gap_s"] = [
                (first - e["event_time"]) // 1000 if e["time_exact"] else -1 for e in events
            ]
        found.append(made | oracle.matches(asked))
    return found


def table_of(log: SmallLog, examples: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(examples, schema=examples_schema(log.definition, log.types))


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(log=logs(counting=True))
def test_columns_of_user_and_candidate_equal_the_oracle(log: SmallLog) -> None:
    examples = log.oracle().examples()
    rows = table_of(log, examples)
    moments = Moments.of(rows["user_id"], rows["event_time"])
    with tempfile.TemporaryDirectory() as folder:
        events = log.write(Path(folder))
        found = personal_values(
            log.definition,
            events,
            rows.select(
                [*("request_id", "user_id", "event_time"), *columns_of_rows(log.definition)]
            ),
            moments,
            rows_at([rows.select(columns_of_moments(log.definition))], moments.first),
        )
    expected = slow(log, examples, "user_id")
    assert set(found) == set(personal_columns(log.definition)) == set(expected[0])
    made = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    assert comparable([{n: int(v) for n, v in row.items()} for row in made]) == comparable(expected)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs(counting=True))
def test_a_row_that_is_its_own_moment_is_as_it_was(log: SmallLog) -> None:
    examples = log.oracle().examples()
    rows = table_of(log, examples)
    alone = pa.chunked_array([pa.array(range(rows.num_rows))])
    moments = Moments.of(alone, rows["event_time"])
    assert moments.already_shared
    with tempfile.TemporaryDirectory() as folder:
        found = personal_values(log.definition, log.write(Path(folder)), rows, moments, rows)
    for name, values in found.items():
        assert values.tolist() == rows[name].to_pylist(), name


def with_statistics() -> DatasetDefinition:
    value = definition(counting=True).model_dump(mode="json")
    value["within_request"] = [
        {"of": "user_item_impression_ever", "statistics": ["rank", "mean"]},
        {"of": "price", "statistics": ["rank"]},
    ]
    return DatasetDefinition.parse(value)


def test_statistics_of_pairs_go_with_them_and_others_stay() -> None:
    made = with_statistics()
    names = personal_columns(made)
    assert "user_item_impression_ever_rank_in_request" in names
    assert "price_rank_in_request" not in names
    assert "user_tab_click_1h" in names, "of a pair with the request's own field too"
    assert "user_click_1h" not in names, "a counter of the user alone is copied"
    rows = {"request_id": ["a", "a", "b"], "user_id": ["u"] * 3, "event_time": [5, 5, 9]}
    counted = {"user_item_impression_ever": np.array([4, 2, 7])}
    found = _statistics(made, pa.table(rows), counted)
    ranks = found["user_item_impression_ever_rank_in_request"].tolist()
    assert ranks == [standing("rank", 4, [4, 2]), standing("rank", 2, [4, 2]), 1.0]
    assert found["user_item_impression_ever_mean_in_request"].tolist() == [3.0, 3.0, 7.0]


def test_which_transformed_columns_are_whose() -> None:
    made = with_statistics()
    plan = make_plan(made, TYPES, {"click": 0.5, "like": 0.5})
    spec = plan.spec(dict.fromkeys((v.name for v in plan.vocabularies), 3))
    own = set(own_columns(spec))
    assert {"user_id_index", "city_index", "fans_scaled", "user_click_rate_ever_bucket"} <= own
    assert {"global_item_id_index", "realtime_action_index", "realtime_gap_bucket"} <= own
    assert "user_action_click_since_scaled" in own
    personal = {n.name for n in personal_numbers(plan, made)}
    assert {"user_item_impression_ever", "user_tab_click_rate_1h"} <= personal
    assert {*made.match_columns, "user_item_impression_since"} <= personal
    alone = {"item_like_ever_scaled", "tab_index", "hour_index", "price_scaled", "item_id_index"}
    assert not alone & own
    assert not {n.removesuffix("_scaled") for n in alone} & personal


def test_the_moment_is_the_earliest_whatever_the_order() -> None:
    users, times = np.array(["b", "a", "b", "c", "a"]), np.array([9, 7, 3, 5, 7])
    moments = Moments.of(pa.chunked_array([users]), pa.chunked_array([times]))
    assert not moments.already_shared
    assert moments.times.tolist() == [3, 7, 3, 5, 7]
    assert times[moments.first[moments.of_row]].tolist() == [3, 7, 3, 5, 7]
    assert users[moments.first[moments.of_row]].tolist() == users.tolist()
    shuffled = np.random.default_rng(0).permutation(5)
    again = Moments.of(pa.chunked_array([users[shuffled]]), pa.chunked_array([times[shuffled]]))
    assert again.times.tolist() == moments.times[shuffled].tolist()
    once = Moments.of(pa.chunked_array([users]), pa.chunked_array([[9, 7, 9, 5, 7]]))
    assert once.already_shared


def test_rows_of_many_tables_are_those_of_one() -> None:
    whole = pa.table({"x": list(range(10))})
    parts = [whole.slice(0, 3), whole.slice(3, 4), whole.slice(7)]
    assert rows_at(parts, [0, 2, 3, 9])["x"].to_pylist() == [0, 2, 3, 9]


def test_a_view_replaces_what_is_the_users_in_any_batches() -> None:
    table = pa.table(
        {
            "age_scaled": pa.array([1.0, 2.0, 3.0, 4.0], pa.float32()),
            "list": pa.array([[1], [2, 2], [], [4]], pa.list_(pa.int32())),
            "pair_scaled": pa.array([0.1, 0.2, 0.3, 0.4], pa.float32()),
            "item_index": pa.array([5, 6, 7, 8], pa.int32()),
        }
    )
    view = SharedRows(
        own=table.select(["age_scaled", "list"]).take(pa.array([0, 2])),
        of_row=np.array([0, 0, 1, 0]),
        personal={"pair_scaled": pa.array([9.1, 9.2, 9.3, 9.4], pa.float32())},
    )
    whole = view(table)
    assert whole["age_scaled"].to_pylist() == [1.0, 1.0, 3.0, 1.0]
    assert whole["list"].to_pylist() == [[1], [1], [], [1]]
    assert whole["pair_scaled"].equals(pa.chunked_array([view.personal["pair_scaled"]]))
    assert whole["item_index"].equals(table["item_index"])
    parts = pa.concat_tables([view(table.slice(0, 3), 0), view(table.slice(3), 3)])
    assert parts.combine_chunks().equals(whole.combine_chunks())
    assert whole.schema == table.schema
    assert view(table.select(["item_index"])).column_names == ["item_index"]


def test_rates_of_user_and_candidate_are_of_the_moment() -> None:
    value = definition(counting=True, matching=False).model_dump(mode="json")
    both = {"event": "like", "windows": ["ever"]}
    value["rates"] = [
        {"key": ["user_id", "item_id"], "parents": ["item_id", "user_id"], **both},
        {"key": "item_id", "parents": ["user_id"], **both},
        {"key": "user_id", **both},
    ]
    made = DatasetDefinition.parse(value)
    own = ("user_like_ever", "user_impression_ever")
    assert columns_of_rates(made) == (own, ("item_like_ever", "item_impression_ever"))
    value["counters"] = [c for c in value["counters"] if isinstance(c["key"], str)]
    value["rates"] = value["rates"][1:]
    made = DatasetDefinition.parse(value)
    rows = pa.table(
        {
            "item_like_ever": [1, 2, 3],
            "item_impression_ever": [4, 5, 6],
            **{name: [7, 8, 9] for name in own},
        }
    )
    seconds = pa.chunked_array([pa.array([3000, 1000, 2000])])
    moments = Moments.of(pa.chunked_array([pa.array(["a", "b", "a"])]), seconds)
    first = rows_at([rows.select(columns_of_moments(made))], moments.first)
    found = personal_values(made, Path("unread"), rows, moments, first)
    assert {name: values.tolist() for name, values in found.items()} == {
        "item_like_ever": [1, 2, 3],
        "item_impression_ever": [4, 5, 6],
        **{name: [9, 8, 9] for name in own},
    }
    plan = make_plan(made, TYPES, {"click": 0.5, "like": 0.5})
    assert [n.name for n in personal_numbers(plan, made)] == ["item_like_rate_ever"]
