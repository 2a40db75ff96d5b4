"""Values of two columns as numbers that are equal where the values are; -1 for missing ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, present, ranks
from hemix.features.schema import MISSING_INT, MISSING_STRING


def numbered(*columns: pa.Array | pa.ChunkedArray) -> list[Ints]:
    """Arrow columns of one type, numbered together; for each int64 ``[rows]``."""
    plain = [
        array.dictionary_decode() if isinstance(array := flat(one), pa.DictionaryArray) else array
        for one in columns
    ]
    numbers, _ = ranks(plain)
    return [
        np.where(present(array), found, -1) for array, found in zip(plain, numbers, strict=True)
    ]


def numbered_values(asked: npt.NDArray[Any], held: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """The same for the numpy columns of a request: its candidates, and a user's events."""
    if asked.dtype == object:
        places: dict[Any, int] = {}
        for value in held:
            places.setdefault(value, len(places))
        events = np.array([places[value] for value in held], np.int64)
        candidates = np.array([places.get(value, -1) for value in asked], np.int64)
        missing = places.get(MISSING_STRING)
        return _without(candidates, missing), _without(events, missing)
    values, numbers = np.unique(np.concatenate([asked, held]), return_inverse=True)
    known = values == values if values.dtype.kind == "f" else values != MISSING_INT
    numbers = np.where(known[numbers], numbers, -1).astype(np.int64)
    return numbers[: len(asked)], numbers[len(asked) :]


def _without(numbers: Ints, missing: int | None) -> Ints:
    return numbers if missing is None else np.where(numbers == missing, -1, numbers)
