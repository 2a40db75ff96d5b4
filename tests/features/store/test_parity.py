"""The gate on the small run: it passes, and one changed value in the online store fails it by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.as_of import build_state
from hemix.features.examples.log import read_types
from hemix.features.store import build_repository
from hemix.features.store.parity.compare import differing_rows, from_arrow, value_at
from hemix.features.store.parity.gate import Known, gate
from hemix.features.store.parity.probes import Probes, choose_probes, true_examples
from hemix.features.store.parity.within_day import compare_within_day
from hemix.features.store.settings import open_store
from hemix.features.transform import TransformGraph
from hemix.verdict import Verdict
from tests.small import SmallRun

SERVICE = "ranker_parity"
AS_OF = datetime(2022, 4, 28, 15, 30, tzinfo=UTC)  # not midnight: the day has had events


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The small run's state at the end of training, and true examples of a few requests."""

    state: Path
    probes: Probes
    examples: pa.Table


@pytest.fixture(scope="module")
def truth(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    definition, events = small_run.definition, small_run.events
    types, as_of = read_types(events), AS_OF
    build_state(definition, events, as_of, folder / "state")
    probes = choose_probes(
        definition,
        types,
        events=events,
        state=folder / "state",
        as_of=as_of,
        users=40,
        items_a_user=3,
        unknown=3,
    )
    examples = true_examples(definition, types, events=events, probes=probes, work=folder / "work")
    return Truth(state=folder / "state", probes=probes, examples=examples)


@pytest.fixture(scope="module")
def graph(small_run: SmallRun) -> TransformGraph:
    return TransformGraph.load(small_run.transform)


@pytest.fixture(scope="module")
def repository(
    small_run: SmallRun, truth: Truth, online_store: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("parity") / "repository"
    build_repository(
        small_run.definition,
        read_types(small_run.events),
        small_run.events,
        truth.state,
        AS_OF,
        SERVICE,
        out,
        online_store=online_store,
    )
    return out


def _gate(repository: Path, graph: TransformGraph, truth: Truth) -> Verdict:
    known = Known(users=len(truth.probes.users), items=10)
    return gate(repository, SERVICE, graph, truth.probes, truth.examples, known=known)


def _change(repository: Path, base: str, key: str, value: Any, feature: str, new: Any) -> None:
    """Change one feature of one key in the online store, through Feast."""
    store = open_store(repository)
    (view,) = [v for v in store.list_feature_views() if v.tags["base"] == base]
    (_, found), *_ = store._get_provider().online_read(
        store.config, view, [_entity_key(key, value)]
    )
    found[feature].CopyFrom(type(found[feature])(**new))
    store._get_provider().online_write_batch(
        store.config,
        view,
        [(_entity_key(key, value), found, AS_OF + timedelta(seconds=1), None)],
        None,
    )


def _entity_key(key: str, value: int) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[key], entity_values=[Value(int64_val=value)])


def test_what_is_served_equals_the_examples(
    repository: Path, graph: TransformGraph, truth: Truth
) -> None:
    assert _gate(repository, graph, truth).failures == ()
    lengths = np.asarray(truth.examples["realtime_item_id"].combine_chunks().value_lengths())
    assert (lengths > 0).any(), "some probes have real-time events"
    assert (lengths == 0).any()


def test_one_changed_value_fails_and_is_named(
    repository: Path, graph: TransformGraph, truth: Truth, online_store: str, tmp_path: Path
) -> None:
    if online_store == "sqlite":
        shutil.copytree(repository, tmp_path / "copy")
        repository = tmp_path / "copy"
    known = set(range(8000))
    row = next(n for n, (_, item) in enumerate(truth.probes.keys) if item in known)
    item_id = truth.probes.keys[row][1]
    true = truth.examples["author_impression_1d"][row].as_py()
    feature = "author_impression_1d"
    _change(repository, "item_counters", "item_id", item_id, feature, {"int64_val": true + 1})
    failures = _gate(repository, graph, truth).failures
    (check,) = [c for c in failures if c.check == f"raw {feature}: rows that differ"]
    assert f"item_id {item_id!r}" in check.note
    assert f"online {true + 1!r}, examples {true!r}" in check.note
    assert "rows equal to the examples" in {c.check for c in failures}
    _change(repository, "item_counters", "item_id", item_id, feature, {"int64_val": true})
    assert _gate(repository, graph, truth).passed


@pytest.mark.parametrize(
    ("window", "overlap"),
    [("day", True), ("6h", False), ("6h", True), ("last", False), ("last", True)],
)
def test_every_split_is_served_as_it_is_trained(
    small_run: SmallRun, tmp_path: Path, window: str, overlap: bool
) -> None:
    value = json.loads(small_run.definition.to_json())
    value["sequences"] |= {"global_length": 12, "realtime_length": 5}
    value["sequences"] |= {"realtime_window": window, "overlap": overlap}
    definition = DatasetDefinition.parse(value)
    made = TransformGraph.load(small_run.transform)
    graph = TransformGraph(
        folder=made.folder, spec=made.spec, definition=definition, types=made.types
    )
    found = compare_within_day(
        definition,
        graph,
        events=small_run.events,
        as_of=AS_OF,
        online_store="sqlite",
        work=tmp_path,
    )
    assert found.differences == ()
    assert found.rows_equal == found.rows > 0


COLUMNS = st.one_of(
    st.lists(st.integers(-3, 3), max_size=6).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.sampled_from([0.0, -0.0, 1.5, float("nan")]), max_size=6).map(
        lambda v: pa.array(v, pa.float64())
    ),
    st.lists(st.lists(st.sampled_from(["", "a", "b"]), max_size=3), max_size=6).map(
        lambda v: pa.array(v, pa.list_(pa.string()))
    ),
)


@given(COLUMNS, st.data())
def test_differing_rows_equals_a_loop(column: pa.Array, data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(0, 5), min_size=len(column), max_size=len(column)))
    other = column.take(pa.array([i % max(len(column), 1) for i in order], pa.int64()))
    mine, theirs = from_arrow(column), from_arrow(other)
    wanted = [
        row
        for row in range(len(column))
        if repr(value_at(mine, row)) != repr(value_at(theirs, row))  # -0.0 is not 0.0, NaN is NaN
    ]
    assert differing_rows(mine, theirs).tolist() == wanted
