"""What a definition may say of fields of the request and of the candidate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.served_as import columns_as_served, examples_as_served, require_types
from tests.features.definitions import plain, renamed

VOLUME = {"name": "volume", "per": "candidate"}


def defined(**changes: Any) -> DatasetDefinition:
    return DatasetDefinition.parse(plain(**changes))


def types(source: pa.DataType) -> ColumnTypes:
    return ColumnTypes(
        user_id=pa.int64(),
        item_id=pa.int64(),
        users={"plan": pa.string(), "age": pa.float64()},
        items={"genre": pa.string(), "length": pa.float64()},
        context={"source": source, "volume": pa.float64()},
    )


def test_a_field_is_of_the_request_unless_it_says_otherwise() -> None:
    usual = defined()
    assert usual.request_columns == ("source", "volume")
    assert usual.candidate_columns == ()
    said = defined(numeric__0=VOLUME)
    assert said.context_columns == usual.context_columns
    assert said.request_columns == ("source",)
    assert said.candidate_columns == ("volume",)
    assert (usual.side_of("volume"), said.side_of("volume")) == ("context", "item")
    assert said.side_of("source") == "context"
    assert DatasetDefinition.parse(said.to_json()) == said


def test_what_is_not_said_leaves_a_definition_its_digest() -> None:
    for word in ("per", "serve_as", "within_request"):
        assert word not in defined().to_json()
    assert defined(numeric__0={"name": "volume", "per": "request"}).digest() == defined().digest()
    assert defined(numeric__0=VOLUME).digest() != defined().digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"numeric__1": {"name": "age", "per": "candidate"}},
            "numeric.1..per: only those have per",
        ),
        ({"categorical__3": {"name": "plan", "serve_as": "x"}}, "'plan' is no column of inter"),
        ({"categorical__1": {"name": "item_id", "per": "candidate"}}, "'item_id' is no column of"),
        ({"categorical__2": {"name": "source", "per": "user"}}, "categorical.2..per"),
        ({"categorical__2": {"name": "source", "serve_as": 1.5}}, "categorical.2..serve_as"),
        ({"categorical__2": {"name": "source", "serve_as": True}}, "categorical.2..serve_as"),
        ({"numeric__0": {**VOLUME, "serve_as": float("nan")}}, "numeric.0..serve_as"),
        ({"within_request": [{"of": "volume", "statistics": ["rank"]}]}, "say per: candidate"),
        ({"within_request": [{"of": "age", "statistics": ["rank"]}]}, "'age' is not a number of"),
        ({"within_request": [{"of": "lenght", "statistics": ["rank"]}]}, "did you mean 'length'"),
        ({"within_request": [{"of": "length", "statistics": []}]}, "statistics"),
        ({"within_request": [{"of": "length", "statistics": ["median"]}]}, "statistics"),
        ({"within_request": [{"of": "length", "statistics": ["min", "min"]}]}, "is given twice"),
        (
            {"within_request": [{"of": "length", "statistics": ["min"]}] * 2},
            "would be called 'length_min_in_request'",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        defined(**changes)


def test_one_name_is_not_of_the_candidate_and_of_the_items() -> None:
    value = renamed("volume", "length")
    value["numeric"] = [{"name": "length", "per": "candidate"}, {"name": "age"}]
    with pytest.raises(DefinitionError, match="'length' is a column of interactions too"):
        DatasetDefinition.parse(value)


def test_the_stated_value_is_of_the_logs_type() -> None:
    made = defined(categorical__2={"name": "source", "per": "candidate", "serve_as": 1})
    require_types(made, types(pa.int64()))
    with pytest.raises(DefinitionError, match=r"serve_as 1 of 'source'.* are text.*serve_as: '1'"):
        require_types(made, types(pa.string()))
    text = defined(categorical__2={"name": "source", "serve_as": "home"})
    with pytest.raises(DefinitionError, match=r"serve_as 'home' of 'source'.* are numbers"):
        require_types(text, types(pa.int64()))


def test_rows_as_they_are_served() -> None:
    made = defined(
        categorical__2={"name": "source", "per": "candidate", "serve_as": 1},
        numeric__0={**VOLUME, "serve_as": 0.5},
    )
    assert made.served_as == {"source": 1, "volume": 0.5}
    real = {"source": np.array([4, 9]), "volume": np.array([0.1, 0.2]), "length": np.ones(2)}
    found = columns_as_served(made, real)
    assert {name: np.asarray(v).tolist() for name, v in found.items()} == {
        "source": [1, 1],
        "volume": [0.5, 0.5],
        "length": [1.0, 1.0],
    }
    assert np.asarray(found["source"]).dtype == np.int64
    table = pa.table({name: pa.array(values) for name, values in real.items()})
    served = examples_as_served(made, table)
    assert served.schema == table.schema
    assert served["source"].to_pylist() == [1, 1]
    assert real["source"].tolist() == [4, 9]
