"""The text of one CSV file in blocks of whole lines, its header taken off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from hemix.errors import DataError
from hemix.features.sources.csv.dialect import Dialect
from hemix.features.sources.csv.records import Records, end_of_lines, line_count
from hemix.features.sources.csv.text_files import text_blocks

LONGEST_RECORD = 256 << 20
_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class CsvText:
    """One CSV file: an open handle, its dialect, and how messages call it."""

    handle: Any
    dialect: Dialect
    where: str
    url: str

    def error(self, line: int, problem: str, hint: str) -> DataError:
        """``problem`` of a line; ``{where}`` in ``hint`` is the source's place in the definition."""
        return DataError(
            f"{self.where}: {self.url}, line {line}: {problem}.",
            hint=hint.replace("{where}", self.where),
        )

    def not_utf8(
        self, record: bytes, line: int, error: UnicodeDecodeError, column: str = ""
    ) -> DataError:
        inside = f" in column {column!r}" if column else ""
        return self.error(
            line,
            f"the byte 0x{record[error.start]:02x}{inside} is not UTF-8: {shown(record)}",
            "Set {where}.encoding to what the file was written in, such as cp1252.",
        )


def shown(text: bytes) -> str:
    """The beginning of a text, for messages."""
    whole = text.decode("utf-8", "replace").rstrip("\r\n")
    return repr(whole if len(whole) <= _SHOWN else whole[:_SHOWN] + "...")


def parse_options(dialect: Dialect, *, newlines: bool) -> pacsv.ParseOptions:
    """The parser's words for a dialect; ``newlines``: values may hold line ends."""
    return pacsv.ParseOptions(
        delimiter=dialect.separator,
        quote_char=dialect.quote or False,
        escape_char=dialect.escape or False,
        newlines_in_values=newlines,
    )


class Lines:
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
            raise file.error(
                self._line,
                "a quote in the header is not closed",
                "Set {where}.quote to the character that stands around values, or none.",
            )
        self.header_line, self.header_lines = self._line, record.lines
        self.take(len(record.text), record.lines)
        self.header_text = record.text.rstrip(b"\r\n")
        return _header_names(file, record.text, self.header_line)

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
            raise self._file.error(
                self._line,
                f"a row is longer than {LONGEST_RECORD >> 20} MB",
                "Shorten its values, or check the file's line ends and quotes.",
            )
        block = next(self._source, None)
        if block is not None:
            self._text += block
            return
        self._ended = True
        if self._text and not self._text.endswith((b"\n", b"\r")):
            self._text += b"\n"


def _header_names(file: CsvText, record: bytes, line: int) -> list[str]:
    try:
        record.decode()
    except UnicodeDecodeError as error:
        raise file.not_utf8(record, line, error) from error
    columns = len(Records(file.dialect).values(record))
    table = pacsv.read_csv(
        pa.BufferReader(record),
        read_options=pacsv.ReadOptions(
            column_names=[str(n) for n in range(columns)], block_size=len(record) + 1
        ),
        parse_options=parse_options(file.dialect, newlines=True),
        convert_options=pacsv.ConvertOptions(
            column_types={str(n): pa.string() for n in range(columns)}
        ),
    )
    return [column[0].as_py() for column in table.columns]
