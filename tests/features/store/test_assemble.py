"""Request columns against a slow reading of the contract, row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import RequestError
from hemix.features.definition import DatasetDefinition
from hemix.features.feature_views import view_specs
from hemix.features.schema import INEXACT_GAP, MISSING_INT, examples_schema
from hemix.features.store import OnlineRows, assemble
from hemix.features.store.assemble import RequestColumns
from hemix.features.store.rows import column_dtype
from tests.features.store import data

pytestmark = pytest.mark.slow

HOUR = 3_600_000
NOW = int(data.AS_OF.timestamp() * 1000)


def rows_of(
    definition: DatasetDefinition, side: str, keys: list[Any], **values: list[Any]
) -> OnlineRows:
    """Online rows with the given columns; the others hold defaults."""
    columns = {}
    for spec in view_specs(definition, data.TYPES):
        if spec.entity == side:
            for name, kind in spec.columns.items():
                column = np.empty(len(keys), dtype=column_dtype(kind))
                lists = pa.types.is_list(kind)
                for row in range(len(keys)):
                    value = values[name][row] if name in values else spec.default(name)
                    if lists:
                        value = np.array(value, dtype=column_dtype(kind.value_type))
                    column[row] = value
                columns[name] = column
    dtype = np.int64 if side == "user" else object
    return OnlineRows(
        keys=np.array(keys, dtype=dtype), known=np.ones(len(keys), bool), columns=columns
    )


def history_rows(definition: DatasetDefinition, events: list[dict[str, Any]]) -> OnlineRows:
    names = ("item_id", "author_id", "action", "event_time_ms", "time_exact")
    lists = {f"history_{name}": [[e[name] for e in events]] for name in names}
    return rows_of(definition, "user", [1], **lists)


def visible(event: dict[str, Any], delay_s: int, time_ms: int) -> bool:
    return event["event_time_ms"] + 1000 * delay_s < time_ms


def within(
    definition: DatasetDefinition, seen: list[dict[str, Any]], time_ms: int
) -> list[dict[str, Any]]:
    """Which of the visible events lie in the real-time window."""
    if definition.sequences.realtime_window == "last":
        return [
            e for n, e in enumerate(seen) if len(seen) - n <= definition.sequences.realtime_length
        ]
    start = window(definition, time_ms)
    return [e for e in seen if e["event_time_ms"] >= start]


def window(definition: DatasetDefinition, time_ms: int) -> int:
    assert definition.sequences.realtime_window != "last"
    if definition.sequences.realtime_window == "day":
        day = datetime.fromtimestamp(time_ms / 1000, UTC).date()
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    return time_ms - 1000 * definition.sequences.realtime_window


def slow_sequences(
    definition: DatasetDefinition, events: list[dict[str, Any]], time_ms: int
) -> dict[str, list[dict[str, Any]]]:
    """The contract of build_examples, read literally over all events of the user."""
    settings = definition.sequences
    seen = [e for e in events if visible(e, settings.availability_delay, time_ms)]
    recent = within(definition, seen, time_ms)
    older = seen if settings.overlap else seen[: len(seen) - len(recent)]
    return {
        "global": older[-settings.global_length :],
        "realtime": recent[-settings.realtime_length :],
    }


def slow_history(
    definition: DatasetDefinition, events: list[dict[str, Any]], as_of: int
) -> list[dict[str, Any]]:
    """What the state keeps of all events, as the schema of a user's state says."""
    settings = definition.sequences
    seen = [e for e in events if visible(e, settings.availability_delay, as_of)]
    first = len(seen) - len(within(definition, seen, as_of))
    before, inside = list(range(first)), list(range(first, len(seen)))
    recent = range(max(0, len(seen) - settings.global_length), len(seen))
    if settings.overlap:
        kept = {*recent, *inside[-settings.realtime_length :]}
        return [seen[n] for n in sorted(kept)]
    if settings.realtime_window == "day":
        kept = {*recent, *inside[-settings.realtime_length :]}
    else:
        kept = set(inside)
    return [seen[n] for n in sorted(kept | set(before[-settings.global_length :]))]


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "item_id": st.sampled_from(["a", "b", ""]),
            "author_id": st.sampled_from([1, 2, MISSING_INT]),
            "action": st.sampled_from(["click", "like"]),
            "event_time_ms": st.integers(NOW - 60 * HOUR, NOW + 5 * HOUR)
            | st.sampled_from([NOW - 12 * HOUR, NOW - 12 * HOUR - 1, NOW, NOW - 2000]),
            "time_exact": st.sampled_from([1, 1, 0]),
        }
    ),
    max_size=14,
).map(lambda events: sorted(events, key=lambda e: e["event_time_ms"]))


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("window_s", ["day", "2h", "1d", "last"])
@given(
    events=EVENTS,
    delay=st.sampled_from([0, 2, 3600]),
    lengths=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    later=st.integers(0, 30 * HOUR) | st.just(0),
)
def test_sequences_equal_those_of_all_events(
    events: list[dict[str, Any]],
    window_s: str,
    overlap: bool,
    delay: int,
    lengths: tuple[int, int],
    later: int,
) -> None:
    definition = data.definition(
        sequences={
            "columns": ["author_id"],
            "realtime_window": window_s,
            "overlap": overlap,
            "availability_delay": delay,
            "global_length": lengths[0],
            "realtime_length": lengths[1],
        }
    )
    known = [e for e in events if visible(e, delay, NOW)]  # no new events after the state
    time_ms = NOW + later
    result = assemble(
        definition,
        data.TYPES,
        user=history_rows(definition, slow_history(definition, events, NOW)),
        items=rows_of(definition, "item", ["a"]),
        context={},
        time_ms=time_ms,
    ).user
    for sequence, wanted in slow_sequences(definition, known, time_ms).items():
        for name in ("item_id", "author_id", "action"):
            values, offsets = result[f"{sequence}_{name}"]
            assert values.tolist() == [e[name] for e in wanted]
            assert offsets.tolist() == [0, len(wanted)]
        gaps = [
            (time_ms - e["event_time_ms"]) // 1000 if e["time_exact"] else INEXACT_GAP
            for e in wanted
        ]
        assert result[f"{sequence}_gap_s"][0].tolist() == gaps


@given(
    created=st.lists(st.integers(0, NOW + HOUR) | st.just(MISSING_INT), min_size=1, max_size=5),
    time_ms=st.integers(NOW, NOW + 400 * 24 * HOUR),
)
def test_age_and_time_fields_row_by_row(created: list[int], time_ms: int) -> None:
    definition = data.definition()
    items = rows_of(definition, "item", [str(n) for n in range(len(created))], created_at=created)
    result = assemble(
        definition,
        data.TYPES,
        user=rows_of(definition, "user", [1]),
        items=items,
        context={"tab": 2},
        time_ms=time_ms,
    )
    ages = np.asarray(result.items["item_age_days"])
    for made, age in zip(created, ages, strict=True):
        if made == MISSING_INT:
            assert np.isnan(age)
        else:
            assert age == max((time_ms - made) / 86_400_000, 0.0)
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    assert np.asarray(result.user["hour"]).tolist() == [moment.hour]
    assert np.asarray(result.user["weekday"]).tolist() == [moment.weekday()]


def test_names_and_types_are_those_of_the_examples() -> None:
    definition = data.definition()
    result = assemble(
        definition,
        data.TYPES,
        user=rows_of(definition, "user", [1]),
        items=rows_of(definition, "item", ["a", "b"]),
        context={"tab": 3, "device": "phone", "other": object()},
        time_ms=NOW,
    )
    schema = examples_schema(definition, data.TYPES)
    keys = {"request_id", "event_time", "label_click"}
    assert {*result.user, *result.items} == {n for n in schema.names if n not in keys}
    for name, column in {**result.user, **result.items}.items():
        kind = schema.field(name).type
        if isinstance(column, tuple):
            assert column[0].dtype == column_dtype(kind.value_type)
            assert column[1].dtype == np.int64
        else:
            assert column.dtype == column_dtype(kind)
            assert len(column) == (2 if name in result.items else 1)


def test_missing_context_is_missing_and_not_an_error() -> None:
    definition = data.definition()
    result = assemble(
        definition,
        data.TYPES,
        user=rows_of(definition, "user", [1]),
        items=rows_of(definition, "item", []),
        context={"tab": None, "battery": 1},
        time_ms=NOW,
    ).user
    assert np.asarray(result["tab"]).tolist() == [MISSING_INT]
    assert np.asarray(result["device"]).tolist() == [""]
    assert np.asarray(result["battery"]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("tab", "1"), ("tab", 1.5), ("tab", True), ("tab", 2**63), ("device", 3), ("battery", "x")],
)
def test_context_of_another_type_is_named(name: str, value: object) -> None:
    definition = data.definition()
    with pytest.raises(RequestError, match=f"context.{name}"):
        assemble(
            definition,
            data.TYPES,
            user=rows_of(definition, "user", [1]),
            items=rows_of(definition, "item", ["a"]),
            context={name: value},
            time_ms=NOW,
        )


PRICED = {
    "numeric": [{"name": "age"}, {"name": "price"}, {"name": "battery", "per": "candidate"}],
    "categorical": [
        *({"name": n} for n in ("user_id", "item_id", "author_id", "segment", "device")),
        {"name": "tab", "per": "candidate", "serve_as": 1},
    ],
    "within_request": [
        {"of": "battery", "statistics": ["rank", "mean"]},
        {"of": "price", "statistics": ["ratio_to_mean"]},
    ],
}


def asked(candidates: dict[str, Any], count: int = 3) -> RequestColumns:
    definition = data.definition(**PRICED)
    keys = [str(n) for n in range(count)]
    prices = [2.0, float("nan"), 4.0][:count]
    return assemble(
        definition,
        data.TYPES,
        user=rows_of(definition, "user", [1]),
        items=rows_of(definition, "item", keys, price=prices),
        context={"device": "phone"},
        candidates=candidates,
        time_ms=NOW,
    )


def test_candidates_have_values_of_their_own() -> None:
    columns = asked({"battery": [10, None, -0.0], "tab": [4, None, 6]})
    items = {name: np.asarray(values).tolist() for name, values in columns.items.items()}
    assert "tab" not in columns.user
    assert items["tab"] == [4, MISSING_INT, 6]
    assert items["battery_rank_in_request"] == [2, 3, 1]
    assert items["battery_mean_in_request"] == [5.0] * 3
    np.testing.assert_array_equal(items["price_ratio_to_mean_in_request"], [2 / 3, np.nan, 4 / 3])
    served = columns.as_served(data.definition(**PRICED))
    assert np.asarray(served.items["tab"]).tolist() == [1, 1, 1]
    assert np.asarray(columns.items["tab"]).tolist() == items["tab"], "what was said stays"


def test_absent_values_and_no_candidates_are_no_error() -> None:
    items = {name: np.asarray(values).tolist() for name, values in asked({}).items.items()}
    assert items["tab"] == [MISSING_INT] * 3
    assert items["battery_rank_in_request"] == [1.0] * 3
    assert all(np.isnan(items["battery_mean_in_request"]))
    assert all(len(np.asarray(column)) == 0 for column in asked({}, 0).items.values())
    assert np.asarray(asked({"battery": [7]}, 1).items["battery_rank_in_request"]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"battery": [1.0]}, "candidates.battery: 1 values for 3 candidates"),
        ({"tab": ["1", 2, 3]}, "candidates.tab: '1' is not a whole number"),
        ({"battery": [1, True, 3]}, "candidates.battery: True is not a number"),
    ],
)
def test_values_of_candidates_that_do_not_fit_are_named(
    candidates: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        asked(candidates)
