"""Find the types of a log's own columns: ids and categories are int64 or text, numbers float64.

All files of all sources decide together, before anything is read: where one file holds numbers and
another holds text, all of the column is text. One value that two files spell differently is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.sources.arrow_types import Family, element, family
from hemix.features.sources.conversions import POINT_ZERO, Kind, kind_of, lossy, to_category
from hemix.features.sources.locations import SourceFile, sources
from hemix.features.sources.place import Place
from hemix.features.sources.readers import is_plain_text
from hemix.features.sources.tables import Reader

IDS = ("user_id", "item_id")
_BY_TYPE: dict[Family, Kind] = {
    "boolean": "int64",
    "integer": "int64",
    "uuid": "string",
    "date": "string",
    "timestamp": "string",
}
_NUMBERS = {"boolean", "integer", "float", "decimal"}
Side = tuple[str, str]
"""Table (``ids`` for both ids, which all tables share) and our name of a column."""


@dataclass
class _Seen:
    """What the files read so far hold in one column."""

    kinds: set[Kind] = field(default_factory=set)
    families: dict[str, Place] = field(default_factory=dict)
    point_zero: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))

    @property
    def kind(self) -> Kind:
        return "int64" if self.kinds == {"int64"} else "string"

    def add(self, kind: Kind | None, found: str, place: Place) -> None:
        if kind:
            self.kinds.add(kind)
            self.families.setdefault(found, place)

    def add_values(
        self, values: pl.Series, found: str, place: Place, *, is_csv: bool, is_id: bool
    ) -> None:
        self.add(kind_of(values, place, is_csv=is_csv), found, place)
        if values.dtype == pl.String:
            if is_id:
                place.refuse(
                    values,
                    lossy(values),
                    "a float as text: digits of the id may be lost",
                    "Write the ids as whole numbers or as text where they come from.",
                )
            zeros = values.filter(values.str.ends_with("0"))
            zeros = zeros.filter(zeros.str.contains(POINT_ZERO)).unique()
            if len(zeros):
                self.point_zero = pl.concat([self.point_zero, zeros.rename("")]).unique()

    def check(self) -> None:
        """Refuse types whose texts are not those of the others."""
        for odd, others in (("boolean", _NUMBERS), ("timestamp", {"timestamp"})):
            clash = next((name for name in self.families if name not in others), None)
            if odd in self.families and clash:
                raise self.families[odd].error(
                    f"holds {odd}s, and {self.families[clash].url} holds {clash}s",
                    "Write the column in one type in all files.",
                )


def infer_types(definition: DatasetDefinition) -> ColumnTypes:
    """Types of ids and declared attributes; values are read only where a schema cannot tell.

    Raises:
        DataError, StorageError: a missing file or column, a damaged file, a value that cannot be
            an id or a category, or one value spelled in two ways.
    """
    numeric = {column.name for column in definition.numeric}
    seen: dict[Side, _Seen] = {}
    for reader, names in _readers(definition):
        for side in names:
            if side[1] in reader.source.constants:
                value = pl.Series([reader.source.constants[side[1]]])
                kind = "text" if value.dtype == pl.String else "integer"
                place = reader.place(side[1], reader.files[0])
                seen.setdefault(side, _Seen()).add_values(
                    value, kind, place, is_csv=False, is_id=side[0] == "ids"
                )
        _survey(reader, names, seen)
    _share_vocabularies(definition, seen)
    for side, found in seen.items():
        found.check()
        if found.kind == "string" and len(found.point_zero):
            _refuse_two_spellings(definition, side, found.point_zero)

    def arrow(table: str, name: str) -> pa.DataType:
        if table != "ids" and name in numeric:
            return pa.float64()
        return pa.int64() if seen.get((table, name), _Seen()).kind == "int64" else pa.string()

    return ColumnTypes(
        user_id=arrow("ids", "user_id"),
        item_id=arrow("ids", "item_id"),
        users={name: arrow("users", name) for name in definition.user_columns},
        items={name: arrow("items", name) for name in definition.item_columns},
        context={name: arrow("interactions", name) for name in definition.context_columns},
    )


def _share_vocabularies(definition: DatasetDefinition, seen: dict[Side, _Seen]) -> None:
    """Fields that share ids are of one type: text as soon as one of them is."""
    shared = {field.name: field.vocabulary or field.name for field in definition.categorical}
    texts = {
        shared[name] for (_, name), s in seen.items() if name in shared and "string" in s.kinds
    }
    for (_, name), found in seen.items():
        if shared.get(name) in texts:
            found.kinds.add("string")


def _readers(definition: DatasetDefinition) -> Iterator[tuple[Reader, list[Side]]]:
    """Every source with those of its columns that are ids or categories."""
    numeric = {column.name for column in definition.numeric}
    attributes = {
        "users": definition.user_columns,
        "items": definition.item_columns,
        "interactions": definition.context_columns,
        "behaviors": (),
    }
    for where, source in sources(definition):
        table = where.split("[")[0]
        reader = Reader.open(definition, source, where)
        yield (
            reader,
            [
                ("ids" if name in IDS else table, name)
                for name in (*IDS, *attributes[table])
                if reader.has(name) and name not in numeric
            ],
        )


def _survey(reader: Reader, names: list[Side], seen: dict[Side, _Seen]) -> None:
    """Add what the files of one source hold to ``seen``."""
    for file, schema in zip(reader.files, reader.schemas, strict=True):
        unread: dict[Side, Family] = {}
        for side in names:
            if side[1] in reader.source.constants:
                continue
            kind = _value_type(reader, schema, side[1])
            found = family(kind)
            wide = found == "integer" and pa.types.is_uint64(_values(kind))
            if found == "null":
                continue
            if found in _BY_TYPE and not wide:
                place = reader.place(side[1], file)
                seen.setdefault(side, _Seen()).add(_BY_TYPE[found], found, place)
            else:
                unread[side] = found
        for side, values, place in _column_batches(reader, file, list(unread)):
            is_csv = is_plain_text(file, schema.field(reader.source.columns[side[1]]))
            found = unread[side]
            seen.setdefault(side, _Seen()).add_values(
                values, found, place, is_csv=is_csv, is_id=side[0] == "ids"
            )


def _value_type(reader: Reader, schema: pa.Schema, name: str) -> pa.DataType:
    theirs = reader.source.columns[name]
    kind = schema.field(theirs).type
    inner = element(kind) if theirs in reader.source.explode else None
    return kind if inner is None else inner


def _values(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def _column_batches(
    reader: Reader, file: SourceFile, sides: list[Side]
) -> Iterator[tuple[Side, pl.Series, Place]]:
    """The values of some columns of one file, batch by batch, lists exploded."""
    if not sides:
        return
    names = list(dict.fromkeys(reader.source.columns[name] for _, name in sides))
    for batch in reader.read(file, names):
        for side in sides:
            yield side, *reader.values_and_place(batch, side[1])


def _refuse_two_spellings(definition: DatasetDefinition, side: Side, zeros: pl.Series) -> None:
    """Refuse text ``7.0`` beside 7: which of them are one value cannot be told.

    Raises:
        DataError: shows both spellings, each with its file and row.
    """
    short = zeros.str.replace(r"\.0+$", "")
    found = next(_find(definition, side, short), None)
    twin = None
    if found:
        twin = zeros.filter(short == found[0])[0]
    elif short.is_duplicated().any():
        one, twin = zeros.filter(short == short.filter(short.is_duplicated())[0])[:2].to_list()
        found = next(_find(definition, side, pl.Series([one])))
    if not found or twin is None:
        return
    _, place = next(_find(definition, side, pl.Series([twin])))
    other = found[1]
    raise DataError(
        f"{place.key}: column {place.column!r} of {place.url}, row {place.row}, holds {twin!r}, and "
        f"column {other.column!r} of {other.url}, row {other.row}, holds {found[0]!r}: "
        "one value or two?",
        hint="Write it the same way everywhere. pandas makes 7.0 of 7 where a column has holes: "
        "write it with astype('Int64').",
    )


def _find(
    definition: DatasetDefinition, side: Side, texts: pl.Series
) -> Iterator[tuple[str, Place]]:
    """Values of a column that are one of ``texts``, each with its place."""
    for reader, names in _readers(definition):
        if side not in names:
            continue
        if side[1] in reader.source.constants:
            value = str(reader.source.constants[side[1]])
            if value in texts:
                yield value, reader.place(side[1], reader.files[0]).at(0)
            continue
        for file in reader.files:
            for _, values, place in _column_batches(reader, file, [side]):
                spelled = to_category(values, "string", place)
                hits = spelled.is_in(texts.implode())
                if (first := hits.arg_max()) is not None and hits[first]:
                    yield spelled[first], place.at(first)
