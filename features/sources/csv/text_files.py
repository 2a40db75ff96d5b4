"""The text of a file as UTF-8 bytes in blocks: unpacked, decoded, without a byte order mark.

What packs a file or how it is encoded is told by its first bytes, never by its name.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from hemix.errors import DataError
from hemix.features.text_rules import AUTO

BLOCK_BYTES = 8 << 20
_FIRST_BYTES = 256 << 10  # enough for a header
_MARKS = {  # UTF-32's begins with UTF-16's, so it comes first
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_TAR_AT, _TAR = 257, b"ustar"
_BZ2, _BZ2_BLOCKS = b"BZh", (b"1AY&SY", b"\x17rE8P\x90")  # a block, the end
_UNPACK: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b\x08": gzip.open,
    _BZ2: bz2.open,
    b"\x28\xb5\x2f\xfd": lambda handle: pa.CompressedInputStream(handle, "zstd"),
    b"\xfd7zXZ\0": lzma.open,
}
_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"PK\x05\x06": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"PAR1": "a Parquet file",
}


def text_blocks(handle: Any, encoding: str, where: str, url: str) -> Iterator[bytes]:
    """Blocks of a file's text in UTF-8; nothing at all for a file without text.

    Raises:
        DataError: the file is an archive, is not of ``encoding``, or its byte order mark says
            another one; names the line.
    """
    plain = _unpacked(handle, where, url)
    head = plain.read(_FIRST_BYTES)
    codec, mark = _codec(head, encoding, where, url)
    if codec == "utf-8":
        block = head[mark:]
        while block:
            yield block
            block = plain.read(BLOCK_BYTES)
        return
    yield from _decoded(plain, head[mark:], codec, where, url)


def _unpacked(handle: Any, where: str, url: str) -> Any:
    """A stream of the text; packed once or not at all."""
    head = handle.read(_TAR_AT + len(_TAR))
    handle.seek(0)
    unpack = _packed(head, where, url)
    if unpack is None:
        return handle
    plain = io.BufferedReader(unpack(handle), 1 << 16)
    if _packed(plain.peek(), where, url):
        raise DataError(f"{where}: {url} is packed twice.", hint="Unpack it once.")
    return plain


def _packed(head: bytes, where: str, url: str) -> Callable[[Any], Any] | None:
    """How to unpack what begins with ``head``; None for text, refused when it is neither."""
    what = next((kind for magic, kind in _NOT_TEXT.items() if head.startswith(magic)), None)
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        what = "a tar archive"
    if what:
        raise DataError(
            f"{where}: {url} holds {what}, not CSV text.",
            hint="Unpack it or export it as CSV; single files may be packed as .gz, .bz2, "
            f".zst or .xz. For Parquet set {where}.format.",
        )
    for magic, unpack in _UNPACK.items():
        if head.startswith(magic) and (magic != _BZ2 or head[4:10] in _BZ2_BLOCKS):
            return unpack
    return None


def _codec(head: bytes, encoding: str, where: str, url: str) -> tuple[str, int]:
    """The encoding, and the length of the mark at the head."""
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    if mark:
        says = _MARKS[mark]
        fitting = (AUTO, says, "utf-8-sig" if says == "utf-8" else says.rsplit("-", 1)[0])
        if encoding in fitting:
            return says, len(mark)
        raise DataError(
            f"{where}.encoding: {url} begins with the byte order mark of {says}, not {encoding}.",
            hint=f"Leave {where}.encoding out, or set it to {says}.",
        )
    if encoding in ("utf-16", "utf-32"):
        raise DataError(
            f"{where}.encoding: {url} has no byte order mark, so {encoding} is not enough.",
            hint=f"Write {encoding}-le or {encoding}-be.",
        )
    if encoding == AUTO and (order := _without_mark(head)):
        raise DataError(
            f"{where}: {url} looks like {order} text without a byte order mark.",
            hint=f"Set {where}.encoding: {order}.",
        )
    return ("utf-8" if encoding in (AUTO, "utf-8-sig") else encoding), 0


def _without_mark(head: bytes) -> str:
    """UTF-16's byte order where every other byte of the first few is zero."""
    start = head[: min(64, len(head) // 2 * 2)]
    even, odd = start[0::2], start[1::2]
    if start and not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if start and not any(even) and all(odd) else ""


def _decoded(plain: Any, block: bytes, codec: str, where: str, url: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)()
    lines = 1
    while True:
        try:
            text = decoder.decode(block, final=not block).encode()
        except UnicodeDecodeError as error:
            held = error.object[: error.start].decode(codec, "ignore")
            raise DataError(
                f"{where}: {url}, line {lines + held.count(chr(10))}: the bytes are not {codec} "
                f"text ({error.reason}).",
                hint=f"Set {where}.encoding to what the file was written in, or export it again.",
            ) from error
        if text:
            yield text
            lines += text.count(b"\n")
        if not block:
            return
        block = plain.read(BLOCK_BYTES)
