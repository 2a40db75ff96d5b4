"""The tiny transform, fitted once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from hemix.components.transform.step import run
from hemix.features.transform import TransformGraph
from tests.features.transform.tiny import DEFINITION, examples_table, write_examples


@dataclass(frozen=True)
class Fitted:
    table: pa.Table
    examples: Path
    transformed: Path
    transform: Path
    graph: TransformGraph


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    folder = tmp_path_factory.mktemp("tiny-transform")
    table = examples_table(700, seed=1)
    examples = write_examples(table, folder / "examples")
    run(
        definition=DEFINITION,
        examples=examples,
        out_transformed=folder / "transformed",
        out_transform=folder / "transform",
    )
    return Fitted(
        table,
        examples,
        folder / "transformed",
        folder / "transform",
        TransformGraph.load(folder / "transform"),
    )
