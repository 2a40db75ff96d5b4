"""Ragged ranges as flat arrays: row ``b`` holds ``source[start[b]:end[b]]``."""

from __future__ import annotations

import numpy as np

from hemix.features.arrays.dense_ranks import Ints


def offsets(lengths: Ints) -> Ints:
    """Offsets ``[rows + 1]`` of rows with ``lengths`` ``[rows]``."""
    result = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=result[1:])
    return result


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """``concatenate([arange(s, s + n) for s, n in zip(starts, lengths)])`` in one pass."""
    ends = offsets(lengths)
    shift = starts - ends[:-1]
    return np.arange(ends[-1]) + np.repeat(shift, lengths)
