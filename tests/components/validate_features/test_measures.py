"""Measures of the gate on tables small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.components.validate_features.leakage import single_feature_auc
from hemix.components.validate_features.profile import coverage, ranges, unknown
from hemix.features.transform.drift_features import watched_features
from hemix.features.transform.statistics import statistics_of
from hemix.spec import (
    CategoricalFeature,
    FeatureSpec,
    NumericFeature,
    SequenceColumn,
    SequenceFeature,
    TaskSpec,
    Vocabulary,
)
from tests.features.transform.tiny import DEFINITION

SPEC = FeatureSpec(
    tasks=(TaskSpec(name="click", column="label_click"),),
    vocabularies=(
        Vocabulary(name="item_id", size=9, oov_buckets=1),
        Vocabulary(name="city", size=5, oov_buckets=2),
    ),
    categorical=(
        CategoricalFeature(name="item_id_index", side="item", vocabulary="item_id"),
        CategoricalFeature(name="city_index", side="user", vocabulary="city"),
    ),
    numeric=(NumericFeature(name="age_scaled", side="user", bucket="age_bucket", buckets=4),),
    sequences=(
        SequenceFeature(
            name="global",
            max_length=3,
            columns=(
                SequenceColumn(role="item_id", column="global_item_id_index", vocabulary="item_id"),
                SequenceColumn(role="city", column="global_city_index", vocabulary="city"),
            ),
        ),
    ),
)


def table(rows: int = 8) -> pa.Table:
    return pa.table(
        {
            "label_click": pa.array([0, 1] * (rows // 2), pa.int8()),
            "item_id_index": pa.array([2] * rows, pa.int32()),
            "city_index": pa.array([0, 1, 2, 3] * (rows // 4), pa.int32()),
            "age_scaled": pa.array(np.zeros(rows), pa.float32()),
            "age_bucket": pa.array([1] * rows, pa.int32()),
            "global_item_id_index": pa.array([[1, 8], []] * (rows // 2), pa.list_(pa.int32())),
            "global_city_index": pa.array([[1, 4], []] * (rows // 2), pa.list_(pa.int32())),
        }
    )


def write(folder: Path, found: pa.Table) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(found, folder / "part.parquet")
    return folder


def swapped(name: str, values: list[object]) -> pa.Table:
    base = table()
    place = base.column_names.index(name)
    return base.set_column(place, name, pa.array(values, base.schema.field(name).type))


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        ("item_id_index", [9, -1] + [2] * 6, {"item_id_index": 2}),
        ("age_scaled", [float("nan"), float("inf")] + [0.0] * 6, {"age_scaled": 2}),
        ("age_bucket", [4] + [1] * 7, {"age_bucket": 1}),
        ("label_click", [2] + [1] * 7, {"label_click": 1}),
        ("global_city_index", [[1, 5], []] * 4, {"global_city_index": 4}),
        ("global_city_index", [[1], []] * 4, {"global_city_index beside": 4}),
        (
            "global_item_id_index",
            [[1, 2, 3, 4], []] + [[1, 1], []] * 3,
            {"global_length": 1, "global_city_index beside": 1},
        ),
    ],
)
def test_what_lies_outside_is_counted(
    tmp_path: Path, column: str, values: list[object], named: dict[str, int]
) -> None:
    assert ranges(SPEC, write(tmp_path / "good", table()))["outside"].sum() == 0
    found = ranges(SPEC, write(tmp_path / "bad", swapped(column, values)))
    assert found[found["outside"] > 0].set_index("feature")["outside"].to_dict() == named


def test_coverage_and_unknown_shares() -> None:
    training = statistics_of(SPEC, table().to_batches())
    found = statistics_of(SPEC, swapped("city_index", [1, 2] * 4).to_batches())
    covered = coverage(SPEC, found, training).iloc[0]
    assert (covered["non_empty_share"], covered["of_training"]) == (0.5, 1.0)
    rows = unknown(SPEC, found, training).set_index("feature")
    assert rows.loc["city_index", "unknown_share"] == 1.0
    assert rows.loc["city_index", "gated_rise"] == 0.5
    assert rows.loc["global_item_id_index", "unknown_share"] == 0.5
    assert rows.loc["item_id_index", "gated_rise"] == 0.0


def leaky(rows: int = 400) -> pa.Table:
    """Noise everywhere, and a label to plant."""
    rng = np.random.default_rng(0)
    base = table(rows)
    for name, values in {
        "label_click": rng.integers(0, 2, rows),
        "age_scaled": rng.normal(size=rows),
        "city_index": rng.integers(0, 5, rows),
    }.items():
        place = base.column_names.index(name)
        base = base.set_column(place, name, pa.array(values).cast(base.schema.field(name).type))
    return base


def test_noise_tells_nothing(tmp_path: Path) -> None:
    found = single_feature_auc(SPEC, write(tmp_path / "x", leaky()))
    assert found["auc_click"].between(0.5, 0.65).all()


@pytest.mark.parametrize(
    ("column", "probe"),
    [
        ("age_scaled", "age_scaled"),
        ("city_index", "city_index"),
        ("global_city_index", "newest global_city_index"),
        ("global_item_id_index", "global holds candidate"),
    ],
)
def test_a_planted_label_is_found(tmp_path: Path, column: str, probe: str) -> None:
    base = leaky()
    y = base["label_click"].to_numpy()
    values: object = {
        "age_scaled": (-1.0 * y).astype(np.float32),
        "city_index": np.where(y == 1, 1, 4).astype(np.int32),
        "global_city_index": [[2, 3 if v else 1] for v in y],
        "global_item_id_index": [[2 if v else 7, 5] for v in y],
    }[column]
    place = base.column_names.index(column)
    planted = base.set_column(place, column, pa.array(values, base.schema.field(column).type))
    found = single_feature_auc(SPEC, write(tmp_path / "x", planted))
    worst = found.loc[found["auc_click"].idxmax()]
    assert worst["feature"] == probe
    assert worst["auc_click"] > 0.95


def test_watched_features_are_attributes_and_context() -> None:
    gated = watched_features(DEFINITION)
    assert {"city_index", "author_index", "kind_index", "tab_index"} <= gated
    assert {"age_scaled", "price_scaled"} <= gated
    assert not gated & {"user_id_index", "item_id_index", "hour_index", "item_age_days_scaled"}
    assert not [name for name in gated if "click" in name or "impression" in name]
