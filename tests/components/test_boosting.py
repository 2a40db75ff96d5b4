"""What the boosting sees of rows and sequences, against a slow reading; and that it is of use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.components.evaluate.boosting import (
    boosting_scores,
    feature_columns,
    features_of,
)
from hemix.components.evaluate.scoring import OWN
from hemix.models.metrics.pointwise import auc
from hemix.spec import (
    CategoricalFeature,
    FeatureSpec,
    NumericFeature,
    SequenceColumn,
    SequenceFeature,
    TaskSpec,
    Vocabulary,
)

SPEC = FeatureSpec(
    tasks=(TaskSpec(name="click", column="label_click"),),
    vocabularies=(
        Vocabulary(name="item", size=5000, oov_buckets=100),
        Vocabulary(name="tag", size=9),
        Vocabulary(name="gap", size=26),
    ),
    categorical=(
        CategoricalFeature(name="item", side="item", vocabulary="item"),
        CategoricalFeature(name="tag", side="item", vocabulary="tag"),
        CategoricalFeature(name="mood", side="context", vocabulary="tag"),
    ),
    numeric=(NumericFeature(name="price", side="item", bucket="price_bucket", buckets=4),),
    sequences=(
        SequenceFeature(
            name="realtime",
            max_length=6,
            columns=(
                SequenceColumn(role="item_id", column="r_item", vocabulary="item"),
                SequenceColumn(role="tag", column="r_tag", vocabulary="tag"),
                SequenceColumn(role="gap", column="r_gap", vocabulary="gap"),
            ),
        ),
    ),
)
EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 25)), max_size=6)
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 1), EVENTS), min_size=1
)


def table_of(rows: list[Any]) -> pa.Table:
    items, tags, buckets, events = zip(*rows, strict=True)
    lists = {
        name: pa.array([[e[place] for e in row] for row in events], pa.list_(pa.int32()))
        for place, name in enumerate(("r_item", "r_tag", "r_gap"))
    }
    whole = pa.table(
        {
            "price": pa.array([0.5] * len(rows), pa.float32()),
            "price_bucket": pa.array(buckets, pa.int32()),
            "item": pa.array(items, pa.int32()),
            "tag": pa.array(tags, pa.int32()),
            "mood": pa.array(tags, pa.int32()),
            **lists,
        }
    )
    return pa.concat_tables([whole.slice(0, 1), whole.slice(1)])


def slowly(row: Any) -> list[float]:
    item, tag, bucket, events = row
    found = [0.5 if bucket else math.nan]
    found += [tag, tag]
    found += [len(events), events[-1][2] if events else math.nan]
    for place, mine in enumerate((item, tag)):
        same = [at for at, event in enumerate(events) if event[place] == mine != 0]
        found.append(len(same))
        found.append(len(events) - 1 - same[-1] if same else math.nan)
        found.append(events[same[-1]][2] if same else math.nan)
    return found


@given(ROWS)
@settings(max_examples=60)
def test_features_are_those_of_a_slow_reading(rows: list[Any]) -> None:
    table = table_of(rows)
    assert set(feature_columns(SPEC)) == set(table.column_names)
    found = features_of(SPEC, table)
    np.testing.assert_array_equal(found, np.array([slowly(row) for row in rows], np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("price", [1, 0], ids=["known price", "price missing in every row"])
def test_what_a_session_says_is_learnt(tmp_path: Path, price: int) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 4000), ("validation", 1000), ("test", 1000)):
        rows, labels = [], []
        for _ in range(count):
            events = [(int(i), 1, 3) for i in random.integers(200, 230, 4)]
            item = events[2][0] if random.random() < 0.5 else int(random.integers(200, 230))
            rows.append((item, 1, price, events))
            labels.append(int(item in {e[0] for e in events}))
        (tmp_path / split).mkdir()
        table = table_of(rows).append_column("label_click", pa.array(labels, pa.int8()))
        pq.write_table(table, tmp_path / split / "rows.parquet")
    scores = boosting_scores(transformed=tmp_path, spec=SPEC)[OWN]["click"]
    assert auc(np.array(labels), scores) > 0.99
    if price:
        again = boosting_scores(transformed=tmp_path, spec=SPEC)[OWN]["click"]
        np.testing.assert_array_equal(again, scores)  # of the same seed
