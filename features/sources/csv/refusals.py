"""What of CSV text does not fit, each named with its line and the mend."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from hemix.errors import DataError
from hemix.features.sources.csv.lines import CsvText, shown
from hemix.features.sources.csv.records import Record, Records, line_count


class Refusals:
    """Checks of one file's text; ``wanted`` are the numbers of the columns that are read."""

    def __init__(
        self, file: CsvText, names: list[str], wanted: Collection[int], header_text: bytes
    ) -> None:
        self._file, self._names, self._wanted = file, names, wanted
        self._header = header_text
        self._records = Records(file.dialect)

    def broken_quotes(self, record: bytes) -> list[int]:
        """Wanted columns whose values go on after their closing quote."""
        return [n for n in self._records.text_after_quote(record) if n in self._wanted]

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
        raise self._file.error(
            line,
            f"the value of column {self.name(column)!r} begins with a quote and {problem}: {value}",
            "Set {where}.quote: none when quotes are part of the text, or {where}.lines_in_quotes "
            "to the lines that one value may span.",
        )

    def _first_open(self, record: bytes) -> tuple[int, str]:
        for column, (_, value) in enumerate(self._records.values(record)):
            if len(value.splitlines()) > 1:
                return column, shown(value)
        return 0, shown(record)

    def check_open(self, rest: bytes, line: int, last: bool) -> None:
        """A record that no quote has closed yet: refused at the end, or once it swallows rows."""
        quote = self._file.dialect.quote
        if not last:
            closed = rest + quote.encode() + b"\n"
            if next(self._records.split(closed), None) is not None:
                self.check_span(closed, line)
            return
        column = len(self._records.values(rest))
        raise self._file.error(
            line,
            f"the quote or escape in column {self.name(column)!r} is not closed before the file "
            f"ends: {shown(rest)}",
            "Close it, or set {where}.quote: none when quotes are part of the text.",
        )

    def refuse_nul(self, text: bytes, line: int) -> None:
        place = text.find(b"\0")
        if place >= 0:
            raise self._file.error(
                line + line_count(text[:place]),
                "holds a NUL byte, which text does not",
                "The file is damaged, or in another encoding: export it again or set "
                "{where}.encoding.",
            )

    def refuse_second_header(self, text: bytes, line: int) -> None:
        place = text.find(self._header)
        while place >= 0:
            end = place + len(self._header)
            before = text[max(place - 4, 0) : place].removesuffix(b"\xef\xbb\xbf")
            if text[end : end + 1] in (b"\n", b"\r") and before[-1:] in (b"", b"\n", b"\r"):
                raise self._file.error(
                    line + line_count(text[:place]),
                    "repeats the header, as if files had been joined",
                    "Take that line out, or name the files one by one.",
                )
            place = text.find(self._header, end)

    def explained(self, text: bytes, line_after: int, error: pa.ArrowInvalid) -> DataError:
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
                if column in self._wanted:
                    return self._file.not_utf8(record.text, line, bad, self.name(column))
            line += record.lines
        return self._file.error(
            line, f"cannot be read as CSV ({error})", "Check {where}'s text rules."
        )

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
        return self._file.error(
            line,
            f"has {found} value{'' if found == 1 else 's'}, {said} has {expected}: {shown(record.text)}",
            hint,
        )

    def name(self, column: int) -> str:
        return self._names[column] if column < len(self._names) else str(column + 1)
