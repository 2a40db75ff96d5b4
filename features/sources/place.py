"""Where a value stands, for messages: the definition's key, the column, the file and the row."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from hemix.errors import DataError

_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class Place:
    """A column of a batch: ``interactions[0].columns.user_id``, its name and file.

    ``first_row`` counts the file's rows before the batch; ``parents`` gives each value's row in
    the batch where lists were exploded.
    """

    key: str
    column: str
    url: str
    first_row: int = 0
    parents: npt.NDArray[np.int64] | None = None
    row: int | None = None

    def at(self, index: int) -> Place:
        """The place of value ``index`` of the batch; its row of the file counts from 1."""
        inside = index if self.parents is None else int(self.parents[index])
        return dataclasses.replace(self, row=self.first_row + inside + 1)

    def error(self, problem: str, hint: str = "") -> DataError:
        row = "" if self.row is None else f", row {self.row},"
        return DataError(
            f"{self.key}: column {self.column!r} of {self.url}{row} {problem}.", hint=hint
        )

    def refuse(self, values: pl.Series, bad: pl.Series, what: str, hint: str = "") -> None:
        """Raise for the first value where ``bad`` is true: names its row and shows it.

        Raises:
            DataError: ``... row 3, holds 'x', which is <what> (2 such rows ...)``.
        """
        bad = bad.fill_null(False)
        count = int(bad.sum())
        if not count:
            return
        first = bad.arg_max()
        assert first is not None
        shown = repr(values[first])
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}..."
        more = f" ({count} such rows in a batch)" if count > 1 else ""
        raise self.at(first).error(f"holds {shown}, which is {what}{more}", hint)
