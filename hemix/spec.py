"""The contract between transformed data and rankers: which columns hold which ids and numbers.

Written by the transform step as ``spec.json``, read by models and serving. Every categorical value
has become an id: ``0`` is padding or missing, ``1 .. oov_buckets`` are hash buckets for values that
the vocabulary does not hold, the rest are vocabulary entries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hemix.files import read_json, write_json
from hemix.texts.frozen import Frozen, parse

Side = Literal["user", "item", "context"]


class Vocabulary(Frozen):
    """A set of ids ``[0, size)`` that one embedding table holds."""

    name: str
    size: int
    oov_buckets: int = 1


class CategoricalFeature(Frozen):
    """Column ``name`` of int32 ids in ``vocabulary``."""

    name: str
    side: Side
    vocabulary: str


class NumericFeature(Frozen):
    """Column ``name`` (float32, scaled, 0 when missing) and its quantile bucket ids.

    ``bucket`` is an int32 column with ids ``[0, buckets)``; 0 means missing. ``personal``: it is of the
    user *with* the candidate (a counter of a pair, a match), so each row has its own at each moment.
    """

    name: str
    side: Side
    bucket: str
    buckets: int
    personal: bool = Field(default=False, exclude_if=lambda personal: not personal)


class SequenceColumn(Frozen):
    """One parallel list column (list<int32>) of a sequence; ``role`` is item_id, action, gap, ..."""

    role: str
    column: str
    vocabulary: str


class SequenceFeature(Frozen):
    """A behaviour sequence, oldest event first, at most ``max_length`` events."""

    name: str
    max_length: int
    columns: tuple[SequenceColumn, ...]


class TaskSpec(Frozen):
    """A 0/1 label column (int8)."""

    name: str
    column: str


class FeatureSpec(Frozen):
    """Everything a ranker needs to know about its input."""

    tasks: tuple[TaskSpec, ...]
    vocabularies: tuple[Vocabulary, ...]
    categorical: tuple[CategoricalFeature, ...]
    numeric: tuple[NumericFeature, ...]
    sequences: tuple[SequenceFeature, ...]
    keys: tuple[str, ...] = ("request_id", "user_id", "item_id", "event_time")

    def vocabulary(self, name: str) -> Vocabulary:
        """The vocabulary called ``name``; KeyError when there is none."""
        for vocabulary in self.vocabularies:
            if vocabulary.name == name:
                return vocabulary
        raise KeyError(name)

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @staticmethod
    def read(path: Path) -> FeatureSpec:
        """Read ``spec.json``.

        Raises:
            StorageError: it is missing or holds something else.
        """
        return parse(FeatureSpec, read_json(path), where=str(path), what="a feature specification")
