"""Read CSV text into tables of text columns, so that every line is in a row or refused.

Text is cut into blocks of whole lines, and a block must give as many rows as it has lines. Where it
does not, its records are found one by one and looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from features.csv_records import Record, Records, end_of_lines, line_count
from features.dialect import Dialect
from features.text_files import text_blocks
from hemix.errors import DataError

LONGEST_RECORD = 256 << 20
_PARSED_BYTES = 1 << 20
_NULLS = ["", "NULL", "null", "NaN", "nan", "\\N"]
_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class CsvText:
    """One CSV file: an open handle, its dialect, and how messages call it."""

    handle: Any
    dialect: Dialect
    where: str
    url: str

    def names(self) -> list[str]:
        """The columns that the header, or the definition in its place, names.

        Raises:
            DataError: there is no text, or the header is not whole or not UTF-8.
        """
        return _Lines(self).header()

    def tables(self, columns: list[str], batch_rows: int) -> Iterator[pa.Table]:
        """Tables of at most ``batch_rows`` rows with ``columns`` as text; missing values are null.

        Raises:
            DataError: a row has too many or too few values, a quote swallows lines or is not
                closed, text is not of its encoding; names the line and the mend.
        """
        lines = _Lines(self)
        names = lines.header()
        parser = _Parser(self, names, columns, lines.header_text)
        if lines.header_lines > 1:
            parser.check_span(lines.header_text + b"\n", lines.header_line)
        for text, first_line, last in lines.blocks():
            table, used = parser.parse(text, first_line, last)
            lines.take(*used)
            for start in range(0, table.num_rows, batch_rows):
                yield table.slice(start, batch_rows)


class _Lines:
    """The text of a file in blocks that end with a line; what a reader does not take comes again."""

    def __init__(self, file: CsvText) -> None:
        self._file = file
        self._records = Records(file.dialect)
        self._source = text_blocks(file.handle, file.dialect.encoding, file.where, file.url)
        self._text = b""
        self._line = 1
        self._ended = False
        self.header_text = b""
        self.header_line = self.header_lines = 1

    def header(self) -> list[str]:
        file = self._file
        while not self._ended:
            self._more()
            body = self._text.lstrip(b"\r\n")
            if body and (file.dialect.header or end_of_lines(body)):
                break
        self._line += line_count(self._text[: len(self._text) - len(body)])
        self._text = body
        if not body:
            raise DataError(
                f"{file.where}: {file.url} is empty.", hint="Copy or export the file again."
            )
        if file.dialect.header:
            self.header_text = file.dialect.separator.join(file.dialect.header).encode()
            return list(file.dialect.header)
        record = next(self._records.split(body), None)
        while record is None and not self._ended:
            self._more()
            record = next(self._records.split(self._text), None)
        if record is None:
            raise DataError(
                f"{file.where}: {file.url}, line {self._line}: a quote in the header is not closed.",
                hint=f"Set {file.where}.quote to the character that stands around values, or none.",
            )
        self.header_line, self.header_lines = self._line, record.lines
        self.take(len(record.text), record.lines)
        self.header_text = record.text.rstrip(b"\r\n")
        return _header_names(file, record.text)

    def blocks(self) -> Iterator[tuple[bytes, int, bool]]:
        """Text, the number of its first line, and whether it is the last."""
        while True:
            cut = len(self._text) if self._ended else end_of_lines(self._text)
            before = len(self._text)
            if cut:
                yield self._text[:cut], self._line, self._ended
            if self._ended:
                return
            if len(self._text) == before or not end_of_lines(self._text):
                self._more()

    def take(self, size: int, lines: int) -> None:
        """Let go of the first ``size`` bytes, which are so many lines."""
        self._line += lines
        self._text = self._text[size:]

    def _more(self) -> None:
        if len(self._text) > LONGEST_RECORD:
            raise DataError(
                f"{self._file.where}: {self._file.url}, line {self._line}: a row is longer than "
                f"{LONGEST_RECORD >> 20} MB.",
                hint="Shorten its values, or check the file's line ends and quotes.",
            )
        block = next(self._source, None)
        if block is not None:
            self._text += block
            return
        self._ended = True
        if self._text and not self._text.endswith((b"\n", b"\r")):
            self._text += b"\n"


def _header_names(file: CsvText, record: bytes) -> list[str]:
    try:
        record.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(file, record, 1, error) from error
    columns = len(Records(file.dialect).values(record))
    table = pacsv.read_csv(
        pa.BufferReader(record),
        read_options=pacsv.ReadOptions(
            column_names=[str(n) for n in range(columns)], block_size=len(record) + 1
        ),
        parse_options=_parse_options(file.dialect, newlines=True),
        convert_options=pacsv.ConvertOptions(
            column_types={str(n): pa.string() for n in range(columns)}
        ),
    )
    return [column[0].as_py() for column in table.columns]


class _Parser:
    """Parses blocks of whole lines; refuses what does not fit, with its line."""

    def __init__(
        self, file: CsvText, names: list[str], columns: list[str], header_text: bytes
    ) -> None:
        self._file, self._names = file, names
        self._records = Records(file.dialect)
        self._header = header_text
        # By place: the names of columns that nobody asked for may repeat.
        self._wanted = [str(names.index(name)) for name in columns] or ["0"]
        self._columns = columns
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
        self._refuse_nul(text, line)
        self._refuse_second_header(text, line)
        lines = line_count(text)
        dialect = self._file.dialect
        spanning = any(sign and sign.encode() in text for sign in (dialect.quote, dialect.escape))
        # A last row of ours would be swallowed by what the text leaves open.
        guard = b"x" + dialect.separator.encode() * (len(self._names) - 1) + b"\n"
        try:
            table = self._read(text + guard if spanning else text, newlines=spanning)
        except pa.ArrowInvalid:
            return self._one_by_one(text, line, last)
        if table.num_rows != lines + spanning:
            return self._one_by_one(text, line, last)
        if any(map(self._broken_quotes, self._records.quotes_between_text(text))):
            return self._one_by_one(text, line, last)
        return table.slice(0, lines), (len(text), lines)

    def check_span(self, record: bytes, line: int) -> None:
        """A value that spans lines is what the definition allows, or plainly no swallowed row."""
        allowed = self._file.dialect.lines_in_quotes
        inside = record.splitlines()
        if allowed is None:
            columns = len(self._names)
            swallowed = (self._records.looks_like_a_row(part, columns) for part in inside[1:])
            if not any(swallowed):
                return
            problem = f"spans {len(inside)} lines, of which some could be rows of their own"
        else:
            longest = max(len(v.splitlines()) for _, v in self._records.values(record))
            if longest <= allowed:
                return
            problem = f"spans {longest} lines, more than lines_in_quotes allows ({allowed})"
        column, value = self._first_open(record)
        raise self._error(
            line,
            f"the value of column {self._name(column)!r} begins with a quote and {problem}: {value}",
            "Set {where}.quote: none when quotes are part of the text, or {where}.lines_in_quotes "
            "to the lines that one value may span.",
        )

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
                self.check_span(record.text, at)
            for column in self._broken_quotes(record.text):
                raise self._error(
                    at,
                    f"column {self._name(column)!r} goes on after its closing quote: "
                    f"{_shown(record.text)}",
                    "Write quotes inside of quoted values twice, or set {where}.quote: none "
                    "when quotes are part of the text.",
                )
        if end < len(text):
            self._check_open(text[end:], line, last)
        try:
            table = self._read(text[:end], newlines=True)
        except pa.ArrowInvalid as error:
            raise self._explained(text[:end], line, error) from error
        if table.num_rows != rows:
            raise self._error(
                line, f"of the {rows} rows before it {table.num_rows} were read", "Report this."
            )
        return table, (end, line - first)

    def _broken_quotes(self, record: bytes) -> list[int]:
        """Wanted columns whose values go on after their closing quote."""
        return [n for n in self._records.text_after_quote(record) if str(n) in self._wanted]

    def _read(self, text: bytes, *, newlines: bool) -> pa.Table:
        if not text:
            kinds = [(name, pa.string()) for name in self._columns]
            return pa.schema(kinds).empty_table()
        if self._file.dialect.escape == "\\" and b"\\N" in text:
            text = self._records.with_plain_nulls(text)
        names = [str(n) for n in range(len(self._names))]

        def read(block_size: int) -> pa.Table:
            return pacsv.open_csv(
                pa.BufferReader(text),
                read_options=pacsv.ReadOptions(column_names=names, block_size=block_size),
                parse_options=_parse_options(self._file.dialect, newlines=newlines),
                convert_options=self._convert,
            ).read_all()

        try:
            table = read(_PARSED_BYTES)
        except pa.ArrowInvalid:
            table = read(len(text) + 1)  # a row may be longer than a block
        if not self._columns:
            return table
        return table.select(self._wanted).rename_columns(self._columns)

    # ---- refusals -----------------------------------------------------------------------------

    def _first_open(self, record: bytes) -> tuple[int, str]:
        for column, (_, value) in enumerate(self._records.values(record)):
            if len(value.splitlines()) > 1:
                return column, _shown(value)
        return 0, _shown(record)

    def _check_open(self, rest: bytes, line: int, last: bool) -> None:
        """A record that no quote has closed yet: refused at the end, or once it swallows rows."""
        quote = self._file.dialect.quote
        if not last:
            closed = rest + quote.encode() + b"\n"
            if next(self._records.split(closed), None) is not None:
                self.check_span(closed, line)
            return
        column = len(self._records.values(rest))
        raise self._error(
            line,
            f"the quote or escape in column {self._name(column)!r} is not closed before the file "
            f"ends: {_shown(rest)}",
            "Close it, or set {where}.quote: none when quotes are part of the text.",
        )

    def _refuse_nul(self, text: bytes, line: int) -> None:
        place = text.find(b"\0")
        if place >= 0:
            raise self._error(
                line + line_count(text[:place]),
                "holds a NUL byte, which text does not",
                "The file is damaged, or in another encoding: export it again or set "
                "{where}.encoding.",
            )

    def _refuse_second_header(self, text: bytes, line: int) -> None:
        place = text.find(self._header)
        while place >= 0:
            end = place + len(self._header)
            before = text[max(place - 4, 0) : place].removesuffix(b"\xef\xbb\xbf")
            if text[end : end + 1] in (b"\n", b"\r") and before[-1:] in (b"", b"\n", b"\r"):
                raise self._error(
                    line + line_count(text[:place]),
                    "repeats the header, as if files had been joined",
                    "Take that line out, or name the files one by one.",
                )
            place = text.find(self._header, end)

    def _explained(self, text: bytes, line_after: int, error: pa.ArrowInvalid) -> DataError:
        """Why the parser refuses ``text``: the first row of another length, or of other bytes."""
        line = line_after - line_count(text)
        expected = len(self._names)
        for record in self._records.split(text):
            if record.text.strip(b"\r\n"):
                values = self._records.values(record.text)
                if len(values) != expected:
                    return self._ragged(record, line, len(values))
            line += record.lines
        line = line_after - line_count(text)
        for record in self._records.split(text):
            try:
                record.text.decode()
            except UnicodeDecodeError as bad:
                column = self._records.column_at(record.text, bad.start)
                if str(column) in self._wanted:
                    return _not_utf8(self._file, record.text, line, bad, self._name(column))
            line += record.lines
        return self._error(line, f"cannot be read as CSV ({error})", "Check {where}'s text rules.")

    def _ragged(self, record: Record, line: int, found: int) -> DataError:
        expected = len(self._names)
        hint = "Quote values that hold the separator, or check {where}.separator, quote and escape."
        if found == expected + 1 and record.text.rstrip(b"\r\n").endswith(
            self._file.dialect.separator.encode()
        ):
            hint = "The row ends with a separator that the header lacks: give both the same."
        if found == expected - 1 and not self._names[-1]:
            hint = "The header ends with a separator that the row lacks: give both the same."
        said = "the definition's header" if self._file.dialect.header else "the header"
        return self._error(
            line,
            f"has {found} value{'' if found == 1 else 's'}, {said} has {expected}: {_shown(record.text)}",
            hint,
        )

    def _name(self, column: int) -> str:
        return self._names[column] if column < len(self._names) else str(column + 1)

    def _error(self, line: int, problem: str, hint: str) -> DataError:
        file = self._file
        return DataError(
            f"{file.where}: {file.url}, line {line}: {problem}.",
            hint=hint.replace("{where}", file.where),
        )


def _not_utf8(
    file: CsvText, record: bytes, line: int, error: UnicodeDecodeError, column: str = ""
) -> DataError:
    inside = f" in column {column!r}" if column else ""
    byte = record[error.start]
    return DataError(
        f"{file.where}: {file.url}, line {line}: the byte 0x{byte:02x}{inside} is not UTF-8: "
        f"{_shown(record)}.",
        hint=f"Set {file.where}.encoding to what the file was written in, such as cp1252.",
    )


def _parse_options(dialect: Dialect, *, newlines: bool) -> pacsv.ParseOptions:
    return pacsv.ParseOptions(
        delimiter=dialect.separator,
        quote_char=dialect.quote or False,
        escape_char=dialect.escape or False,
        newlines_in_values=newlines,
    )


def _shown(text: bytes) -> str:
    whole = text.decode("utf-8", "replace").rstrip("\r\n")
    return repr(whole if len(whole) <= _SHOWN else whole[:_SHOWN] + "...")
