"""Bodies of HTTP: compressed ones are inflated within the limit, answers compressed when asked for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from hemix.errors import RequestError
from hemix.serving.admission.limits import too_large

GZIP_FROM = 1_000
"""Bytes of an answer from which it is compressed for a client that accepts gzip."""

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_STEP = 1 << 16


def inflated(body: bytes, encoding: str | None, *, limit: int) -> bytes:
    """The body as its ``Content-Encoding`` means it.

    Raises:
        RequestError: another encoding than gzip or deflate, or a stream that is not whole.
        BodyTooLarge: it is larger than ``limit`` bytes; no more than that is ever inflated.
    """
    for name in reversed([part.strip().lower() for part in (encoding or "").split(",")]):
        if name in ("", "identity"):
            continue
        if name not in _WINDOWS:
            raise RequestError("Content-Encoding: give gzip, deflate or none.")
        body = _inflate(body, name, limit)
    return body


def _inflate(body: bytes, name: str, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    window = _WINDOWS[name]
    if name == "deflate" and not _is_zlib(body):
        window = -15  # what some clients send as deflate: the stream without zlib's frame
    while True:
        stream = zlib.decompressobj(window)
        data = body
        try:
            while data and not stream.eof:
                part = stream.decompress(data, _STEP)
                data = stream.unconsumed_tail
                size += len(part)
                if size > limit:
                    raise too_large(limit, " when inflated")
                parts.append(part)
        except zlib.error as error:
            raise RequestError(f"body: is not {name} ({error}).") from error
        if not stream.eof:
            raise RequestError(f"body: its {name} stream is cut short.")
        body = stream.unused_data
        if not body:
            return b"".join(parts)
        if window != _WINDOWS["gzip"]:  # gzip alone may have several members
            raise RequestError(f"body: {len(body)} bytes follow its {name} stream.")


def _is_zlib(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def deflated(body: bytes, accepted: str | None) -> tuple[bytes, Mapping[str, str]]:
    """An answer's body, as gzip when the client accepts that and it is worth it, and its headers."""
    if len(body) < GZIP_FROM or not _accepts_gzip(accepted):
        return body, {}
    stream = zlib.compressobj(1, wbits=31)
    return stream.compress(body) + stream.flush(), {
        "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding",
    }


def _accepts_gzip(accepted: str | None) -> bool:
    for part in (accepted or "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.strip().replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
