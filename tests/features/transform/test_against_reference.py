"""Beam's output equals the plain Python transform on every row of every split."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.features.schema import SEQUENCES
from tests.features.transform import reference
from tests.features.transform.conftest import Fitted
from tests.features.transform.tiny import DAY, DEFINITION, START

FIELDS = {c.name: c for c in DEFINITION.categorical}


@pytest.fixture(scope="module")
def rows(fitted: Fitted) -> list[dict[str, Any]]:
    return fitted.table.to_pylist()


@pytest.fixture(scope="module")
def training(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first two days: validation and test must not be analysed."""
    return [row for row in rows if row["event_time"].timestamp() * 1000 < START + 2 * DAY]


@pytest.fixture(scope="module")
def transformed(fitted: Fitted) -> list[dict[str, Any]]:
    tables = [
        pq.read_table(file)
        for split in ("train", "validation", "test")
        for file in sorted((fitted.transformed / split).glob("*.parquet"))
    ]
    return pa.concat_tables(tables).to_pylist()


def test_rows_and_keys_stay_in_order(rows: list[Any], transformed: list[Any]) -> None:
    names = ("request_id", "user_id", "item_id", "event_time", "label_click")
    assert [[r[n] for n in names] for r in transformed] == [[r[n] for n in names] for r in rows]


@pytest.mark.parametrize("field", list(FIELDS))
def test_ids(
    field: str, rows: list[Any], training: list[Any], transformed: list[Any], fitted: Fitted
) -> None:
    shared = field in ("item_id", "author")
    settings = FIELDS[field]
    entries = reference.vocabulary(
        reference.occurrences(training, field, shared), settings.min_count
    )
    vocabulary = fitted.graph.spec.vocabulary(field)
    assert vocabulary.size == 1 + vocabulary.oov_buckets + len(entries)
    unknown = 0
    for row, got in zip(rows, transformed, strict=True):
        pairs = [(row[field], got[f"{field}_index"])]
        for sequence in SEQUENCES if shared else ():
            column = f"{sequence}_{field}"
            pairs += zip(row[column], got[f"{column}_index"], strict=True)
        for value, found in pairs:
            expected = reference.index(value, entries, vocabulary.oov_buckets)
            if expected < 0:
                unknown += 1
                assert 1 <= found <= vocabulary.oov_buckets
            else:
                assert found == expected, value
    assert unknown or settings.min_count == 1


def test_actions_gaps_and_time_fields(
    rows: list[Any], training: list[Any], transformed: list[Any]
) -> None:
    actions = [v for row in training for s in SEQUENCES for v in row[f"{s}_action"]]
    entries = reference.vocabulary(actions, 1)
    for row, got in zip(rows, transformed, strict=True):
        assert got["hour_index"] == 2 + row["hour"]
        assert got["weekday_index"] == 2 + row["weekday"]
        for s in SEQUENCES:
            assert got[f"{s}_gap_bucket"] == [reference.gap_id(g) for g in row[f"{s}_gap_s"]]
            assert got[f"{s}_action_index"] == [
                abs(reference.index(a, entries, 1)) for a in row[f"{s}_action"]
            ]


def test_numbers(
    rows: list[Any], training: list[Any], transformed: list[Any], fitted: Fitted
) -> None:
    prior = sum(row["label_click"] for row in training) / len(training)
    clicks, seen = (
        sum(row[name] for row in training) for name in ("kind_click_1d", "kind_action_seen_1d")
    )
    raw = [reference.raw_numbers(DEFINITION, row, prior, clicks / seen) for row in rows]
    learned = raw[: len(training)]
    names = {n.name.removesuffix("_scaled") for n in fitted.graph.spec.numeric}
    assert names == set(raw[0])
    settings = {n.name: n for n in DEFINITION.numeric}
    for name in names:
        scale = settings[name].scale if name in settings else "log"
        buckets = settings[name].buckets if name in settings else 16
        numbers = reference.Numbers(
            [row[name] for row in learned], "linear" if "_rate_" in name else scale, buckets
        )
        for row, got in zip(raw, transformed, strict=True):
            assert got[f"{name}_bucket"] == numbers.bucket(row[name]), (name, row[name])
            assert got[f"{name}_scaled"] == pytest.approx(numbers.scaled(row[name]), abs=2e-4)
