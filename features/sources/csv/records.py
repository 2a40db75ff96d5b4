"""Where the rows of CSV text begin and end, as the parser sees it, and what is odd about them.

The parser takes a quote for one only at the head of a value and keeps what follows the closing
quote as it is. The patterns here say the same; they are for what whole blocks cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hemix.features.sources.csv.dialect import Dialect

_LF, _CR = 10, 13
_LINE_END = rb"(?:\r\n|\n|\r)"
_LINE = re.compile(rb"[^\r\n]*+" + _LINE_END)


def line_count(text: bytes) -> int:
    """How many lines end in ``text``: by LF, CR or both."""
    signs = np.frombuffer(text, np.uint8)
    count = int(np.count_nonzero(signs == _LF))
    if b"\r" in text:
        before = np.flatnonzero(signs == _CR)
        pairs = np.count_nonzero(signs[np.minimum(before + 1, len(signs) - 1)] == _LF)
        count += len(before) - int(pairs)
    return count


def end_of_lines(text: bytes) -> int:
    """Where the last whole line ends; a CR at the very end may be half of a line end."""
    return max(text.rfind(b"\n"), text.rfind(b"\r", 0, max(len(text) - 1, 0))) + 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row's text with its line end, where it begins, and how many lines it spans."""

    text: bytes
    start: int
    lines: int


@dataclass(frozen=True)
class Records:
    """Finds the records of texts of one dialect."""

    dialect: Dialect

    @cached_property
    def _signs(self) -> tuple[bytes, bytes, bytes]:
        d = self.dialect
        separator, quote, escape = (re.escape(s.encode()) for s in (d.separator, d.quote, d.escape))
        return separator, quote, escape

    @cached_property
    def _plain(self) -> bytes:
        separator, _, escape = self._signs
        if not escape:
            return rb"[^" + separator + rb"\r\n]*+"
        return rb"(?:[^" + separator + escape + rb"\r\n]|" + escape + rb"[\s\S])*+"

    @cached_property
    def _quoted(self) -> bytes:
        _, quote, escape = self._signs
        inside = rb"[^" + quote + rb"]*+"
        if escape:
            inside = rb"(?:[^" + quote + escape + rb"]|" + escape + rb"[\s\S])*+"
        return quote + inside + rb"(?:" + quote + quote + inside + rb")*+" + quote

    @cached_property
    def _value(self) -> bytes:
        quote = self._signs[1]
        if not quote:
            return self._plain
        return rb"(?:" + self._quoted + rb"|(?!" + quote + rb"))" + self._plain

    @cached_property
    def _record(self) -> re.Pattern[bytes]:
        separator = self._signs[0]
        value = self._value
        return re.compile(value + rb"(?:" + separator + value + rb")*+" + _LINE_END)

    @cached_property
    def _field(self) -> re.Pattern[bytes]:
        return re.compile(
            rb"(" + self._value + rb")(?:" + self._signs[0] + rb"|" + _LINE_END + rb")"
        )

    @cached_property
    def _after_quote(self) -> re.Pattern[bytes] | None:
        separator, quote, _ = self._signs
        if not quote:
            return None
        return re.compile(quote + rb"(?![" + separator + quote + rb"\r\n])")

    def quotes_between_text(self, text: bytes) -> Iterator[bytes]:
        """Lines of ``text`` with a quote in the midst of text, where a closing one may be."""
        quote = self.dialect.quote.encode()
        if not quote or quote not in text:
            return
        signs = np.frombuffer(text, np.uint8)
        quotes = signs == quote[0]
        edge = quotes | (signs == _LF) | (signs == ord(self.dialect.separator))
        if b"\r" in text:
            edge |= signs == _CR
        end = 0
        for place in np.flatnonzero(quotes[1:-1] & ~edge[:-2] & ~edge[2:]) + 1:
            if place >= end:
                start = max(text.rfind(b"\n", end, place), text.rfind(b"\r", end, place)) + 1
                line = _LINE.match(text, max(start, end))
                assert line is not None
                end = line.end()
                yield line.group()

    def split(self, text: bytes) -> Iterator[Record]:
        """The whole records of ``text``; stops where one is not closed."""
        end = 0
        for match in self._record.finditer(text):
            if match.start() != end:
                return
            end = match.end()
            found = match.group()
            lines = line_count(found) if found.count(b"\n") + found.count(b"\r") > 1 else 1
            yield Record(text=found, start=match.start(), lines=lines)

    def values(self, record: bytes) -> list[tuple[int, bytes]]:
        """Place and text of each value of a record as they stand; ends at one that is not closed."""
        found: list[tuple[int, bytes]] = []
        end = 0
        for match in self._field.finditer(record):
            if match.start() != end:
                break
            end = match.end()
            found.append((match.start(), match.group(1)))
        return found

    def text_after_quote(self, record: bytes) -> list[int]:
        """Numbers of the values that go on behind their closing quote."""
        if self._after_quote is None or not self._after_quote.search(record):
            return []
        quote = self.dialect.quote.encode()
        whole = re.compile(self._quoted)
        return [
            number
            for number, (_, value) in enumerate(self.values(record))
            if value.startswith(quote) and not whole.fullmatch(value)
        ]

    def column_at(self, record: bytes, place: int) -> int:
        """Number of the value that the byte at ``place`` belongs to."""
        return max(
            (n for n, (start, _) in enumerate(self.values(record)) if start <= place), default=0
        )

    def with_plain_nulls(self, text: bytes) -> bytes:
        """``\\N`` in place of a value written as ``NULL``: as an escape it would become ``N``."""
        edge = rb"[" + self._signs[0] + rb"\r\n]"
        return re.sub(rb"(?:(?<=" + edge + rb")|\A)\\N(?=" + edge + rb")", b"NULL", text)

    def looks_like_a_row(self, line: bytes, columns: int) -> bool:
        """True when ``line`` alone, its quotes ignored, has as many values as a row."""
        return line.count(self.dialect.separator.encode()) >= columns - 1
