"""CSV text: every row is read as it was written, or refused with its line and the mend."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.errors import DataError, HemixError
from hemix.features.sources.csv import lines as csv_lines
from hemix.features.sources.csv import text_files
from hemix.features.sources.csv.dialect import Dialect
from hemix.features.sources.csv.hints import header_hint
from hemix.features.sources.csv.lines import CsvText
from hemix.features.sources.csv.reader import csv_names, csv_tables

NAMES = ["one", "two", "three"]
NULLS = ("", "NULL", "null", "NaN", "nan", "\\N")

Rows = list[list[str]]


def read(data: bytes, columns: list[str] | None = None, block: int = 64, **rules: Any) -> Rows:
    """All rows of ``data``; missing values as ``""``. Small blocks: every border is met."""

    def file() -> CsvText:
        dialect = Dialect(**rules)
        return CsvText(
            handle=io.BytesIO(data), dialect=dialect, where="users[0]", url="file:///u.csv"
        )

    with (
        patch.object(text_files, "BLOCK_BYTES", block),
        patch.object(text_files, "_FIRST_BYTES", block),
    ):
        names = csv_names(file())
        tables = list(csv_tables(file(), columns or names, 1_000))
    return [
        [value or "" for value in row.values()] for table in tables for row in table.to_pylist()
    ]


def refusal(data: bytes, **options: Any) -> str:
    with pytest.raises(HemixError) as caught:
        read(data, **options)
    return str(caught.value)


def read_or_refusal(data: bytes, *columns: str, **options: Any) -> Rows | str:
    try:
        return read(data, list(columns), **options)
    except DataError as error:
        return str(error)


def joined(rows: Rows, separator: str = ",", end: str = "\n") -> bytes:
    return "".join(separator.join(row) + end for row in rows).encode()


def numbered(count: int) -> Rows:
    return [NAMES, *([f"a{i}", str(i * i), f"text {i}"] for i in range(count))]


# ---- against Python's own writer --------------------------------------------------------------

values = st.text(st.sampled_from("ab,;\"'\n\r\\ |é\t0"), max_size=6)
tables = st.lists(st.lists(values, min_size=3, max_size=3), max_size=8)


def written(rows: Rows, **how: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **how).writerows([NAMES, *rows])
    return out.getvalue().encode()


def plain(rows: Rows) -> Rows:
    return [["" if value in NULLS else value for value in row] for row in rows]


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    rows=tables,
    separator=st.sampled_from(",;|\t"),
    quote=st.sampled_from("\"'"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.integers(1, 90),
)
def test_what_the_csv_module_writes_is_read_back(
    rows: Rows, separator: str, quote: str, end: str, quoting: Any, block: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # the writer leaves other line ends than its own bare
        rows = [[value.replace("\r", "").replace("\n", "") for value in row] for row in rows]
    data = written(rows, delimiter=separator, quotechar=quote, lineterminator=end, quoting=quoting)
    rules: dict[str, Any] = {"separator": separator, "quote": quote}
    assert read(data, block=block, lines_in_quotes=99, **rules) == plain(rows)
    found = read_or_refusal(data, block=block, **rules)
    assert found == plain(rows) or "could be rows of their own" in found


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(rows=tables, block=st.integers(1, 90))
def test_escapes_are_read_back(rows: Rows, block: int) -> None:
    rows = [[value.replace("\r", "") for value in row] for row in rows]
    data = written(rows, escapechar="\\", doublequote=False, lineterminator="\n")
    found = read(data, block=block, escape="\\", lines_in_quotes=99)
    assert found == plain(rows)


free = st.text(st.sampled_from("ab\" 'é"), min_size=1, max_size=5)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(texts=st.lists(free, min_size=1, max_size=12), block=st.integers(1, 90))
def test_quotes_in_free_text_never_swallow_a_row(texts: list[str], block: int) -> None:
    rows = [[str(i), "x", text] for i, text in enumerate(texts)]
    data = joined([NAMES, *rows])
    assert read(data, block=block, quote="") == rows
    for columns in ((), ("one",), ("one", "two")):
        found = read_or_refusal(data, *columns, block=block)
        if isinstance(found, str):
            assert "users[0].quote: none" in found
        else:
            assert [row[0] for row in found] == [row[0] for row in rows]


# ---- rows longer than a block, line ends, blank lines ------------------------------------------


def test_a_value_of_megabytes_is_read() -> None:
    rows = numbered(30)
    rows[17][2] = "z" * 9_000_000
    for block in (1 << 20, 8 << 20):
        assert read(joined(rows), block=block) == rows[1:]


def test_a_row_beyond_the_limit_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "LONGEST_RECORD", 1 << 20)
    rows = numbered(30)
    rows[17][2] = "z" * 2_000_000
    assert "line 18: a row is longer than 1 MB" in refusal(joined(rows), block=1 << 16)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_line_ends(end: str, last: bool, count: int) -> None:
    rows = numbered(count)
    data = joined(rows, end=end)
    assert read(data if last else data.removesuffix(end.encode())) == rows[1:]


def test_blank_lines_are_no_rows() -> None:
    rows = numbered(20)
    data = b"\n\r\n" + joined(rows, end="\n\n") + b"\r\n\n"
    assert read(data) == rows[1:]
    short = joined([*rows, ["lost"]], end="\n\n")
    assert "line 43: has 1 value, the header has 3: 'lost'" in refusal(short)


# ---- marks, encodings, packing -----------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_tells_the_encoding(
    encoding: str, quoted: bool, pack: Callable[[bytes], bytes]
) -> None:
    rows = [*numbered(9), ["ß", "漢", "🙂"]]
    text = written(rows[1:], quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).decode()
    data = pack(text.encode(encoding))
    assert read(data) == read(data, encoding=encoding) == rows[1:]


@pytest.mark.parametrize("encoding", ["iso8859-1", "cp1252", "utf-16-le", "utf-16-be", "koi8-r"])
def test_an_encoding_is_said(encoding: str) -> None:
    rows = numbered(12)
    rows[7][1] = "Жук" if encoding == "koi8-r" else "naïve"
    data = joined(rows).decode().encode(encoding)
    assert read(data, encoding=encoding) == rows[1:]
    told = refusal(data)
    if "16" in encoding:
        assert f"looks like {encoding} text" in told
    else:
        assert "line 8: the byte 0x" in told
        assert "in column 'two' is not UTF-8" in told
    # Where only other columns are asked for, their bytes do not matter.
    if "16" not in encoding:
        assert read(data, ["one"]) == [row[:1] for row in rows[1:]]


@pytest.mark.parametrize(
    ("written_as", "said", "told"),
    [
        ("utf-16", "utf-8", "begins with the byte order mark of utf-16-le, not utf-8"),
        ("utf-8-sig", "cp1252", "begins with the byte order mark of utf-8, not cp1252"),
        ("utf-8", "utf-16", "has no byte order mark, so utf-16 is not enough"),
        ("utf-8", "ascii", "line 5: the bytes are not ascii text"),
    ],
)
def test_a_wrong_encoding_is_refused(written_as: str, said: str, told: str) -> None:
    rows = numbered(6)
    rows[4][0] = "é"
    assert told in refusal(joined(rows).decode().encode(written_as), encoding=said)


def _zst(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACKS = [gzip.compress, bz2.compress, lzma.compress, _zst]


@pytest.mark.parametrize("pack", PACKS)
def test_every_member_of_a_packed_file_is_read(pack: Callable[[bytes], bytes]) -> None:
    rows = numbered(50)
    assert read(pack(joined(rows[:20])) + pack(joined(rows[20:]))) == rows[1:]
    with_headers = pack(joined(rows[:20])) + pack(joined([NAMES, *rows[20:]]))
    assert "line 21: repeats the header" in refusal(with_headers)
    assert "packed twice" in refusal(pack(pack(joined(rows))))
    assert "is empty" in refusal(pack(b""))


def _zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, joined(numbered(3)))
    return out.getvalue()


def _tar(mode: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        inside = tarfile.TarInfo("a.csv")
        inside.size = 9
        archive.addfile(inside, io.BytesIO(b"a,b\n1,2\n3"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (_zip("a.csv"), "zip"),
        (_zip("a.csv", "b.csv"), "zip"),
        (_zip(), "zip"),
        (_tar("w"), "tar"),
        (_tar("w:gz"), "tar"),
        (b"PAR1" + bytes(300), "Parquet"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n\n", "is empty"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(data: bytes, what: str) -> None:
    assert what in refusal(data)


# ---- what does not fit --------------------------------------------------------------------------


def changed(line: int, text: str) -> bytes:
    lines = joined(numbered(40)).decode().splitlines()
    lines[line - 1] = text
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b", "has 2 values, the header has 3: 'a,b'"),
        ("a,b,c,d", "has 4 values, the header has 3: 'a,b,c,d'"),
        ("a,b,c,", "The row ends with a separator that the header lacks"),
        ("   ", "has 1 value, the header has 3"),
        ("a,b\0,c", "holds a NUL byte"),
        ("one,two,three", "repeats the header"),
        ("\ufeffone,two,three", "repeats the header"),
        ('a,"b" c,d', "column 'two' goes on after its closing quote"),
        ('a,b,"c', "begins with a quote and spans"),
        ('a,"b,c', "begins with a quote and spans"),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_its_line(text: str, told: str) -> None:
    for line in (2, 33):
        message = refusal(changed(line, text))
        assert f"users[0]: file:///u.csv, line {line}: " in message
        assert told in message


def test_a_quote_that_is_never_closed() -> None:
    told = refusal(changed(41, 'a,"b,c'))
    assert "line 41: the quote or escape in column 'two' is not closed" in told
    assert "is not closed" in refusal(b'one,"two,three\n1,2,3\n')


def test_a_quote_in_the_header_swallows_no_rows() -> None:
    rows = numbered(20)
    rows[0] = ["one", "two", '"three']
    rows[9][2] = '"text'
    told = refusal(joined(rows))
    assert "line 1: the value of column" in told
    assert "spans 10 lines, of which some could be rows of their own" in told
    assert read(b'one,two,"thr\nee"\n1,2,3\n') == [["1", "2", "3"]]


def test_how_many_lines_a_value_may_span() -> None:
    data = changed(9, 'a,b,"first\nsecond\nthird"')
    assert ["a", "b", "first\nsecond\nthird"] in read(data)
    assert len(read(data, lines_in_quotes=3)) == 40
    told = refusal(data, lines_in_quotes=2)
    assert "line 9: the value of column 'three' begins with a quote and spans 3 lines" in told
    rows_alike = changed(9, 'a,b,"first\nx,y,z\nthird"')
    assert "some could be rows of their own" in refusal(rows_alike)
    assert len(read(rows_alike, lines_in_quotes=3)) == 40


def test_line_numbers_go_on_after_values_of_several_lines() -> None:
    data = changed(5, 'a,b,"c\nd"').replace(b"a30,", b"")
    assert "line 33: has 2 values" in refusal(data)


def test_missing_values_beside_escapes() -> None:
    data = b"one,two,three\n\\N,x\\,y,\\N\n\\N,\\\\N,z\n"
    assert read(data, escape="\\") == [["", "x,y", ""], ["", "", "z"]]


# ---- headers -------------------------------------------------------------------------------------


def test_names_from_the_definition() -> None:
    rows = numbered(9)
    assert read(joined(rows[1:]), header=tuple(NAMES)) == rows[1:]
    assert "line 1: repeats the header" in refusal(joined(rows), header=tuple(NAMES))
    assert "the definition's header has 2" in refusal(joined(rows), header=("p", "q"))


def test_columns_that_nobody_asks_for_may_share_a_name() -> None:
    data = b"one,x,two,x,\n1,2,3,4,\n5,6,7,8,\n"
    assert read(data, ["two", "one"]) == [["3", "1"], ["7", "5"]]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["one;two;three"], 'separated by ";"'),
        (["one\ttwo\tthree"], "separated by tab"),
        (['one|"two"|three'], 'separated by "|"'),
        (["sep=;"], "spreadsheet's mark"),
        (["sep=", ""], "spreadsheet's mark"),
        (["'one'", "'two'"], "Names stand between ' signs"),
        (["One", "two", "three"], "Write 'One' for 'one'"),
        (["one", " two", "three"], "Write ' two' for 'two'"),
        (["7", "2024-03-01T00:00:00Z", "web"], "looks like a row, not like a header"),
        (["first", "second"], ""),
    ],
)
def test_what_a_header_seems_to_be(names: list[str], told: str) -> None:
    hint = header_hint(names, NAMES, Dialect(), "users[0]")
    assert told in hint
    assert bool(told) == bool(hint)
