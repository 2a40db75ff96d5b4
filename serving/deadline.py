"""Until when a caller waits, as its headers say.

``X-Request-Timeout-Ms`` (whole milliseconds), ``grpc-timeout`` (gRPC's own: ``250m``, ``2S``) and
``X-Envoy-Expected-Rq-Timeout-Ms`` (what Envoy tells those behind it by itself). The shortest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hemix.errors import RequestError

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_MILLISECONDS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_GRPC = re.compile(rb"([0-9]{1,8})([HMSmun])")


def timeout_of(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Seconds that the caller waits; None when no header (lower-case names) says.

    Raises:
        RequestError: a header does not hold what it should; names it.
    """
    found: list[float] = []
    for name, value in headers:
        if name in _MILLISECONDS:
            text = value.strip()
            if not text.isdigit() or len(text) > 12:
                raise _wrong(name, value, "whole milliseconds")
            if name == _MILLISECONDS[0] or int(text):  # Envoy says 0 for no timeout
                found.append(int(text) / 1000)
        elif name == b"grpc-timeout":
            match = _GRPC.fullmatch(value.strip())
            if match is None:
                raise _wrong(name, value, "gRPC's form, such as 250m or 2S")
            found.append(int(match[1]) * _UNITS[match[2]])
    return min(found, default=None)


def _wrong(name: bytes, value: bytes, form: str) -> RequestError:
    shown = value[:40].decode("ascii", errors="replace")
    return RequestError(f"Header {name.decode()}: {shown} must be {form}.")
