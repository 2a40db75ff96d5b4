"""Read CSV text into tables of text columns, so that every line is in a row or refused.

Text is cut into blocks of whole lines, and a block must give as many rows as it has lines. Where it
does not, its records are found one by one and looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pacsv

from hemix.features.sources.csv.lines import CsvText, Lines, parse_options, shown
from hemix.features.sources.csv.records import Records, line_count
from hemix.features.sources.csv.refusals import Refusals

_PARSED_BYTES = 1 << 20
_NULLS = ["", "NULL", "null", "NaN", "nan", "\\N"]


def csv_names(file: CsvText) -> list[str]:
    """The columns that the header, or the definition in its place, names.

    Raises:
        DataError: there is no text, or the header is not whole or not UTF-8.
    """
    return Lines(file).header()


def csv_tables(file: CsvText, columns: list[str], batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most ``batch_rows`` rows with ``columns`` as text; missing values are null.

    Raises:
        DataError: a row has too many or too few values, a quote swallows lines or is not closed,
            text is not of its encoding; names the line and the mend.
    """
    lines = Lines(file)
    names = lines.header()
    # By place: the names of columns that nobody asked for may repeat.
    wanted = [names.index(name) for name in columns]
    refusals = Refusals(file, names, wanted, lines.header_text)
    if lines.header_lines > 1:
        refusals.check_span(lines.header_text + b"\n", lines.header_line)
    parser = _Parser(file, refusals, len(names), wanted, columns)
    for text, first_line, last in lines.blocks():
        table, used = parser.parse(text, first_line, last)
        lines.take(*used)
        for start in range(0, table.num_rows, batch_rows):
            yield table.slice(start, batch_rows)


class _Parser:
    """Parses blocks of whole lines; refuses what does not fit, with its line."""

    def __init__(
        self, file: CsvText, refusals: Refusals, width: int, wanted: list[int], columns: list[str]
    ) -> None:
        self._file, self._refusals, self._width, self._columns = file, refusals, width, columns
        self._records = Records(file.dialect)
        self._wanted = [str(number) for number in wanted] or ["0"]
        self._convert = pacsv.ConvertOptions(
            include_columns=self._wanted,
            column_types={name: pa.string() for name in self._wanted},
            null_values=_NULLS,
            strings_can_be_null=True,
        )

    def parse(self, text: bytes, line: int, last: bool) -> tuple[pa.Table, tuple[int, int]]:
        """The rows of ``text``, and how much of it they are: bytes and lines.

        That is all of it, but for a record that is not closed yet.
        """
        self._refusals.refuse_nul(text, line)
        self._refusals.refuse_second_header(text, line)
        lines = line_count(text)
        dialect = self._file.dialect
        spanning = any(sign and sign.encode() in text for sign in (dialect.quote, dialect.escape))
        # A last row of ours would be swallowed by what the text leaves open.
        guard = b"x" + dialect.separator.encode() * (self._width - 1) + b"\n"
        try:
            table = self._read(text + guard if spanning else text, newlines=spanning)
        except pa.ArrowInvalid:
            return self._one_by_one(text, line, last)
        if table.num_rows != lines + spanning:
            return self._one_by_one(text, line, last)
        if any(map(self._refusals.broken_quotes, self._records.quotes_between_text(text))):
            return self._one_by_one(text, line, last)
        return table.slice(0, lines), (len(text), lines)

    def _one_by_one(self, text: bytes, line: int, last: bool) -> tuple[pa.Table, tuple[int, int]]:
        end, rows, first = 0, 0, line
        for record in self._records.split(text):
            at = line
            line += record.lines
            end = record.start + len(record.text)
            if record.lines == 1 and not record.text.strip(b"\r\n"):
                continue
            rows += 1
            if record.lines > 1:
                self._refusals.check_span(record.text, at)
            for column in self._refusals.broken_quotes(record.text):
                raise self._file.error(
                    at,
                    f"column {self._refusals.name(column)!r} goes on after its closing quote: "
                    f"{shown(record.text)}",
                    "Write quotes inside of quoted values twice, or set {where}.quote: none "
                    "when quotes are part of the text.",
                )
        if end < len(text):
            self._refusals.check_open(text[end:], line, last)
        try:
            table = self._read(text[:end], newlines=True)
        except pa.ArrowInvalid as error:
            raise self._refusals.explained(text[:end], line, error) from error
        if table.num_rows != rows:
            raise self._file.error(
                line, f"of the {rows} rows before it {table.num_rows} were read", "Report this."
            )
        return table, (end, line - first)

    def _read(self, text: bytes, *, newlines: bool) -> pa.Table:
        if not text:
            kinds = [(name, pa.string()) for name in self._columns]
            return pa.schema(kinds).empty_table()
        if self._file.dialect.escape == "\\" and b"\\N" in text:
            text = self._records.with_plain_nulls(text)
        names = [str(n) for n in range(self._width)]

        def read(block_size: int) -> pa.Table:
            return pacsv.open_csv(
                pa.BufferReader(text),
                read_options=pacsv.ReadOptions(column_names=names, block_size=block_size),
                parse_options=parse_options(self._file.dialect, newlines=newlines),
                convert_options=self._convert,
            ).read_all()

        try:
            table = read(_PARSED_BYTES)
        except pa.ArrowInvalid:
            table = read(len(text) + 1)  # a row may be longer than a block
        if not self._columns:
            return table
        return table.select(self._wanted).rename_columns(self._columns)
