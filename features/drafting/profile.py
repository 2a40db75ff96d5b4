"""What a column of a file looks like: times, numbers, flags, lists, or values of a category."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from hemix.errors import DataError, DefinitionError, HemixError
from hemix.features.declared_sources import TableSource
from hemix.features.sources.arrow_types import element, family, plain
from hemix.features.sources.conversions import FALSE, POINT_ZERO, TRUE, to_text
from hemix.features.sources.locations import SourceFile, find_files_of
from hemix.features.sources.moments import to_time
from hemix.features.sources.place import Place
from hemix.features.sources.readers import read_batches, schema_of

Kind = Literal["time", "flag", "number", "list", "category", "empty"]
ROWS = 1_000_000
SEPARATORS = ("auto", ";", "tab", "|", ",")
FORMATS = tuple(
    date + clock
    for date in ("%d.%m.%Y", "%m.%d.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
    for clock in (" %H:%M:%S", " %H:%M", "")
)
"""Ways of writing times that are tried where ISO 8601 does not fit."""
_UNITS = (("s", 3e8, 5e9), ("ms", 3e11, 5e12), ("us", 3e14, 5e15), ("ns", 3e17, 5e18))


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A column as it looks.

    ``values``: its texts, null where missing. ``times``: int64 milliseconds, of a time.
    ``written``: the formats that all of its values fit, where it is no ISO time; several are an
    open question. ``unit``: of epoch numbers. ``lists``: how its lists are written as text; empty
    for Parquet's own.
    """

    name: str
    kind: Kind
    values: pl.Series
    distinct: int
    times: pl.Series | None = None
    unit: str = ""
    written: tuple[str, ...] = ()
    lists: str = ""

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> int:
        return self.values.null_count()

    @property
    def unique(self) -> bool:
        """True when no value occurs twice and none is missing."""
        return self.rows > 0 and self.distinct == self.rows


@dataclass(frozen=True, kw_only=True)
class FileProfile:
    """A file: how it is named in the definition, its columns, and whether only its head was read."""

    path: str
    columns: dict[str, Profile]
    rows: int
    cut: bool
    separator: str


def file_profile(path: str, folder: Path) -> FileProfile:
    """Look at the first :data:`ROWS` rows of a file.

    Args:
        path: as it was given; relative to ``folder`` when it is.
        folder: what paths of the definition are relative to.

    Raises:
        HemixError: there is no such file, or it cannot be read as a table.
    """
    try:
        return _looked_at(path, folder)
    except (
        DataError
    ) as error:  # its words are those of a definition's source, which is not there yet
        hint = error.hint.replace(f"{path}.", "")
        if hint != error.hint:
            hint += " hemix init cannot be told so: write the definition yourself, or export the file anew."
        raise DataError(error.message.replace(f"{path}.paths: ", ""), hint=hint) from error


def _looked_at(path: str, folder: Path) -> FileProfile:
    separator, files, schema = _opened(path, folder)
    pieces, rows, cut = [], 0, False
    for one in files:
        _require_columns(one, schema, files[0], path)
        for table in read_batches(one, list(schema.names), path):
            if rows >= ROWS:
                cut = True
                break
            pieces.append(table)
            rows += table.num_rows
    table = _together(pieces, path) if pieces else schema.empty_table()
    columns = {name: _profile(name, table[name], files[0]) for name in schema.names}
    return FileProfile(path=path, columns=columns, rows=rows, cut=cut, separator=separator)


def _require_columns(file: SourceFile, schema: pa.Schema, first: SourceFile, path: str) -> None:
    held = schema_of(file, path).names
    for name in schema.names:
        if name not in held:
            raise DataError(
                f"{path}: {file.url} has no column {name!r}, which {first.url} has.",
                hint="Name files of one kind only; those of users and items one by one.",
            )


def _together(pieces: Sequence[pa.Table], path: str) -> pa.Table:
    """Batches as one table; a column that is of several types is read as text, as a run does."""
    for name in pieces[0].column_names:
        if len({piece.schema.field(name).type for piece in pieces}) == 1:
            continue
        try:
            pieces = [
                piece.set_column(
                    piece.column_names.index(name), name, piece[name].cast(pa.large_string())
                )
                for piece in pieces
            ]
        except pa.ArrowException as error:
            raise DataError(
                f"{path}: the column {name!r} is of another kind in each file ({error}).",
                hint="Name files of one kind only.",
            ) from error
    return pa.concat_tables(pieces)


def _opened(path: str, folder: Path) -> tuple[str, list[SourceFile], pa.Schema]:
    """The sign between values (``auto`` where it is that of the file's name), files and columns."""
    for separator in SEPARATORS:
        source = TableSource(paths=(path,), columns={}, separator=separator)
        try:
            files = find_files_of(str(folder), source, path)
        except DefinitionError:  # Parquet, which has no separator
            break
        schema = schema_of(files[0], path)
        if len(schema.names) > 1:
            return separator, files, schema
    raise DataError(
        f"{path}: holds one column only, whatever is taken for the sign between values.",
        hint="Give a table with a user, an item and a time in columns of their own.",
    )


def _profile(name: str, column: pa.ChunkedArray, file: SourceFile) -> Profile:
    place = Place(key=name, column=name, url=file.url)
    if element(column.type) is not None:
        empty = pl.Series([None] * len(column), dtype=pl.String)
        return Profile(name=name, kind="list", values=empty, distinct=0)
    values = plain(column, place)
    is_time = family(column.type) in ("timestamp", "date")
    texts = _texts(values, place)
    distinct = texts.drop_nulls().n_unique()
    known = texts.drop_nulls()

    def made(kind: Kind, **more: object) -> Profile:
        return Profile(name=name, kind=kind, values=texts, distinct=distinct, **more)  # type: ignore[arg-type]

    if known.is_empty():
        return made("empty")
    if is_time:
        return made("time", times=to_time(values, "auto", place, attribute=True))
    if _all_in(known.str.to_lowercase(), (*TRUE, *FALSE)) and distinct <= 2:
        return made("flag")
    numbers = known.cast(pl.Float64, strict=False)
    if numbers.null_count() == 0:
        unit = _unit(name, numbers)
        if unit:
            return made("time", unit=unit, times=to_time(values, unit, place, attribute=True))
        if not _are_calendar_days(known):
            return made("number")
    times, written = _times(texts, place)
    if times is not None or written:
        return made("time", times=times, written=written)
    if separator := _list_separator(known):
        return made("list", lists=separator)
    return made("category")


def _texts(values: pl.Series, place: Place) -> pl.Series:
    if values.dtype.is_float():
        return values.fill_nan(None).cast(pl.String).str.replace(POINT_ZERO, "$1")
    return to_text(values, place) if values.dtype != pl.Null else values.cast(pl.String)


def _all_in(values: pl.Series, wanted: Sequence[str]) -> bool:
    return bool(values.is_in(list(wanted)).all())


def _unit(name: str, numbers: pl.Series) -> str:
    """The unit of epoch numbers: of a column that is called a time, or none."""
    if not any(word in name.lower() for word in ("time", "date", "_at", "ts", "epoch", "stamp")):
        return ""
    low, high = float(numbers.min()), float(numbers.max())
    return next((unit for unit, least, most in _UNITS if least <= low and high <= most), "")


def _are_calendar_days(known: pl.Series) -> bool:
    if not known.str.contains(r"^(19|20)\d{6}$").all():
        return False
    return known.str.to_date("%Y%m%d", strict=False).null_count() == 0


def _times(texts: pl.Series, place: Place) -> tuple[pl.Series | None, tuple[str, ...]]:
    """Times of texts, or the formats that fit all of them; neither where they are no times."""
    if not texts.drop_nulls().head(1000).str.contains(r"^\d{1,4}[-./T ]?\d").all():
        return None, ()
    try:
        return to_time(texts, "auto", place, attribute=True), ()
    except HemixError:
        pass
    known = texts.drop_nulls()
    fitting = tuple(written for written in FORMATS if _fits(known, written))
    if len(fitting) != 1:
        return None, fitting
    return to_time(texts, "auto", place, attribute=True, written=fitting[0]), fitting


def _fits(known: pl.Series, written: str) -> bool:
    if "%H" in written:
        parsed = known.str.to_datetime(written, strict=False, time_unit="ms")
    else:
        parsed = known.str.to_date(written, strict=False)
    return parsed.null_count() == 0


def _list_separator(known: pl.Series) -> str:
    """``json``, ``|`` or ``;`` where texts look like lists; empty where they do not."""
    some = known.head(1000)
    if some.str.starts_with("[").all() and some.str.ends_with("]").all():
        try:
            lists = [json.loads(text) for text in some]
        except ValueError:
            return ""
        return "json" if all(isinstance(one, list) for one in lists) else ""
    for sign in ("|", ";"):
        if some.str.contains(sign, literal=True).mean() > 0.5:
            return sign
    return ""
