"""The loaded graph: one result per row, however the row arrives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemix.components.transform.step import run
from hemix.errors import DataError, StorageError
from hemix.features.schema import MISSING_INT
from hemix.features.transform import Column, TransformGraph
from hemix.features.transform.columns import raw_columns
from hemix.features.transform_plan import FARTHEST
from hemix.files import sha256_folder
from hemix.spec import Side
from tests.features.transform.conftest import Fitted
from tests.features.transform.tiny import DEFINITION, PRIORS, examples_table, write_examples

SIDES: tuple[Side, ...] = ("user", "item", "context")
KEYS = ["request_id", "user_id", "item_id", "event_time", "label_click"]


def same_bits(a: Column, b: Column) -> bool:
    if isinstance(a, tuple) != isinstance(b, tuple):
        return False
    if isinstance(a, tuple):
        return all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    assert not isinstance(b, tuple)
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def of_table(table: pa.Table, name: str) -> Column:
    array = table[name].combine_chunks()
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64)
        return array.flatten().to_numpy(), offsets - offsets[0]
    return array.to_numpy()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 99), start=st.integers(0, 80), rows=st.integers(1, 120))
def test_rows_do_not_depend_on_each_other(fitted: Fitted, seed: int, start: int, rows: int) -> None:
    """Any slice, any set of sides: bit for bit what the whole table gives. New values included."""
    table = examples_table(200, seed=1000 + seed, size=90)
    whole = fitted.graph.apply_table(table)
    part = table.slice(start, rows)
    for n in (1, 2, 3):
        for sides in combinations(SIDES, n):
            needed = raw_columns(part, fitted.graph.inputs(sides))
            found = fitted.graph.apply_columns(needed, sides)
            assert set(found) == set(fitted.graph.outputs(sides))
            for name, column in found.items():
                assert same_bits(column, of_table(whole.slice(start, rows), name)), name


def test_table_equals_the_splits_that_beam_wrote(fitted: Fitted) -> None:
    tables = [
        pq.read_table(file)
        for split in ("train", "validation", "test")
        for file in sorted((fitted.transformed / split).glob("*.parquet"))
    ]
    assert fitted.graph.apply_table(fitted.table).equals(pa.concat_tables(tables))


def test_batch_boundaries_do_not_show(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted.graph.apply_table(fitted.table)
    monkeypatch.setattr("hemix.features.transform.graph.TABLE_ROWS", 37)
    assert fitted.graph.apply_table(fitted.table).equals(whole)
    assert fitted.graph.apply_table(fitted.table.slice(0, 0)).schema == whole.schema


def test_order_files_and_processes_do_not_matter(fitted: Fitted, tmp_path: Path) -> None:
    """Shuffled rows in many files: the same artifact, byte for byte; the same rows, moved."""
    order = np.random.default_rng(3).permutation(fitted.table.num_rows)
    examples = write_examples(fitted.table.take(pa.array(order)), tmp_path / "e", files_a_day=4)
    run(
        definition=DEFINITION,
        examples=examples,
        out_transformed=tmp_path / "transformed",
        out_transform=tmp_path / "transform",
    )
    assert sha256_folder(tmp_path / "transform") == sha256_folder(fitted.transform)
    again = TransformGraph.load(tmp_path / "transform")
    assert again.apply_table(fitted.table).equals(fitted.graph.apply_table(fitted.table))


def test_another_process_writes_the_same_bytes(fitted: Fitted, tmp_path: Path) -> None:
    """In a folder of another name, with other hashes of texts and other numbers of functions."""
    program = """
import sys
from pathlib import Path
from hemix.components.transform.step import run
from hemix.features.transform.engine import tensorflow
from tests.features.transform.tiny import PRIORS, DEFINITION
tf = tensorflow()
for _ in range(3):
    tf.function(lambda x: x + 1)(tf.constant(1))
out = Path(sys.argv[2])
run(
    definition=DEFINITION.model_copy(update={"root": str(out)}),
    examples=Path(sys.argv[1]),
    out_transformed=out / "rows",
    out_transform=out / "graph",
)
"""
    out = tmp_path / "another place"
    subprocess.run(
        [sys.executable, "-c", program, str(fitted.examples), str(out)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert sha256_folder(out / "graph") == sha256_folder(fitted.transform)
    assert sha256_folder(out / "rows") == sha256_folder(fitted.transformed)


def test_scaled_numbers_are_finite_and_of_order_one(fitted: Fitted) -> None:
    """Also far from zero beside their spread, and for values such as no row of training held."""
    whole = fitted.graph.apply_table(fitted.table)
    ages = whole["age_scaled"].to_numpy()
    assert abs(ages.mean()) < 0.2
    assert 0.5 < ages.std() < 2
    assert len(np.unique(whole["age_bucket"].to_numpy())) == 5  # 0 is missing
    strange = [1e300, -1e300, 5e-324, 1.7e308, float("inf"), float("-inf"), float("nan")]
    table = fitted.table.slice(0, len(strange))
    for name in ("age", "price"):
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(strange, pa.float64()))
    found = fitted.graph.apply_table(table)
    for name in ("age", "price"):
        assert np.all(np.abs(found[f"{name}_scaled"].to_numpy()) <= FARTHEST)
        assert found[f"{name}_bucket"].to_pylist()[-3:] == [0, 0, 0]


def test_threads_share_a_fresh_graph(fitted: Fitted) -> None:
    graph = TransformGraph.load(fitted.transform)
    columns = raw_columns(fitted.table, graph.plan.raw)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: graph.apply_columns(columns, {SIDES[i % 3]}), range(24)))
    for i, result in enumerate(results):
        for name, column in result.items():
            assert same_bits(column, results[i % 3][name])


def test_missing_values_become_zero(fitted: Fitted) -> None:
    row: dict[str, Column] = {}
    for column in fitted.graph.plan.raw:
        missing: object = {"int": MISSING_INT, "string": "", "float": np.nan}[column.kind]
        dtype = {"int": np.int64, "string": object, "float": np.float64}[column.kind]
        value = np.array([missing], dtype)
        row[column.name] = (value, np.array([0, 1])) if column.ragged else value
    for name, found in fitted.graph.apply_columns(row, SIDES).items():
        values = found[0] if isinstance(found, tuple) else found
        assert "_rate_" in name or values.tolist() == [0], name


def test_nulls_are_missing(fitted: Fitted) -> None:
    table = fitted.table.slice(0, 3)
    place = table.column_names.index("city")
    nulls = pa.array([None, "xy", None], pa.string())
    found = fitted.graph.apply_table(table.set_column(place, "city", nulls))
    assert found["city_index"].to_pylist() == [0, 1, 0]


def test_keys_and_labels_pass_only_when_present(fitted: Fitted) -> None:
    whole = fitted.graph.apply_table(fitted.table)
    assert whole.column_names[:5] == KEYS
    bare = fitted.graph.apply_table(fitted.table.drop_columns(["request_id", "label_click"]))
    assert bare.column_names[:4] == ["user_id", "item_id", "event_time", "user_id_index"]


def test_a_missing_column_is_named(fitted: Fitted) -> None:
    with pytest.raises(DataError, match="'city'"):
        fitted.graph.apply_table(fitted.table.drop_columns(["city"]))
    with pytest.raises(DataError, match="'tab'"):
        fitted.graph.apply_columns({}, {"context"})


def test_a_wrong_type_is_named(fitted: Fitted) -> None:
    place = fitted.table.column_names.index("kind")
    text = pa.array(["x"] * fitted.table.num_rows)
    with pytest.raises(DataError, match=r"'kind'.*not int"):
        fitted.graph.apply_table(fitted.table.set_column(place, "kind", text))


def test_an_incomplete_artifact_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_bytes((fitted.transform / "spec.json").read_bytes())
    with pytest.raises(StorageError, match=r"definition\.json is missing"):
        TransformGraph.load(tmp_path)


def test_digest_names_the_content(fitted: Fitted, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(fitted.transform, copy)
    assert TransformGraph.load(copy).digest() == fitted.graph.digest()
    (copy / "priors.json").write_text(json.dumps(PRIORS))
    assert TransformGraph.load(copy).digest() != fitted.graph.digest()


@pytest.mark.slow
def test_no_text_is_the_missing_one(tmp_path: Path) -> None:
    """Texts that a vocabulary's file could take for something else have ids of their own."""
    odd = [
        "\0",
        "\0\0",
        "a\0",
        "a",
        " a",
        "a ",
        "\x85",
        "\u2028",
        "\x0b",
        "\x1c",
        "\x7f",
        "-1",
        "\ufffd",
    ]
    table = examples_table(300, seed=3)
    cities = ([*odd, ""] * 40)[: table.num_rows]
    at = table.schema.get_field_index("city")
    table = table.set_column(at, table.schema.field(at), pa.array(cities))
    run(
        definition=DEFINITION,
        examples=write_examples(table, tmp_path / "examples"),
        out_transformed=tmp_path / "transformed",
        out_transform=tmp_path / "transform",
    )
    graph = TransformGraph.load(tmp_path / "transform")
    ids = graph.apply_table(table)["city_index"].to_pylist()
    by_text = {
        text: {i for i, city in zip(ids, cities, strict=True) if city == text} for text in cities
    }
    assert by_text.pop("") == {0}
    assert sorted(len(found) for found in by_text.values()) == [1] * len(odd)
    assert len(set.union(*by_text.values())) == len(odd)
    assert min(min(found) for found in by_text.values()) > 1  # known, not hashed
