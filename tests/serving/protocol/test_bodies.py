from __future__ import annotations

import functools
import gzip
import json
import zlib

import pytest

from hemix.errors import HemixError, RequestError
from hemix.serving.admission.limits import MAX_BODY_BYTES, BodyTooLarge
from hemix.serving.protocol.bodies import GZIP_FROM, deflated, inflated

TEXT = b'{"instances": []}' * 40


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


# Without the time, so that every worker of a run names these cases alike.
zipped = functools.partial(gzip.compress, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, None),
        (TEXT, "identity"),
        (zipped(TEXT), "gzip"),
        (zipped(TEXT), " GZip "),
        (zipped(TEXT[:100]) + zipped(TEXT[100:]), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
        (zipped(zlib.compress(TEXT)), "deflate, gzip"),
    ],
)
def test_compressed_bodies_are_read(body: bytes, encoding: str | None) -> None:
    assert inflated(body, encoding, limit=10_000) == TEXT


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (TEXT, "br", "Content-Encoding: give gzip, deflate or none"),
        (TEXT, "gzip", "body: is not gzip"),
        (b"", "gzip", "body: its gzip stream is cut short"),
        (zipped(TEXT)[:-5], "gzip", "body: its gzip stream is cut short"),
        (zipped(TEXT) + b"rest", "gzip", "body: is not gzip"),
        (zlib.compress(TEXT) + b"rest", "deflate", "body: 4 bytes follow"),
        (zipped(TEXT), "deflate", "body: is not deflate"),
    ],
)
def test_what_is_not_whole_is_refused(body: bytes, encoding: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        inflated(body, encoding, limit=10_000)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_refused_before_it_goes_off(layers: int) -> None:
    import tracemalloc

    bomb = bytes(100_000_000)
    for _ in range(layers):
        bomb = zipped(bomb, 6)
    tracemalloc.start()
    with pytest.raises(BodyTooLarge, match="larger than 1000000 bytes") as caught:
        inflated(bomb, ", ".join(["gzip"] * layers), limit=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(caught.value, HemixError)
    assert caught.value.http_status == 413
    assert peak < 5_000_000


def test_answers_are_compressed_for_those_who_accept_it() -> None:
    large = b"x" * GZIP_FROM
    for accepted in ("gzip", "br, gzip;q=0.5", "GZIP"):
        body, headers = deflated(large, accepted)
        assert gzip.decompress(body) == large
        assert headers["Content-Encoding"] == "gzip"
    for accepted in (None, "", "br", "gzip;q=0", "gzip; q=0.0"):
        assert deflated(large, accepted) == (large, {})
    assert deflated(large[1:], "gzip") == (large[1:], {})


def test_the_longest_ids_are_more_than_a_body_holds_and_the_message_says_what_fits() -> None:
    """1,000 candidates of 512 letters are within each other limit, and 3 MB."""
    ids = [chr(0x4E00) * 511 + chr(0x4E00 + n) for n in range(1_000)]
    body = json.dumps({"instances": [{"user_id": 1, "item_ids": ids}]}).encode()
    with pytest.raises(BodyTooLarge, match="candidates fit when each takes at most 909 bytes"):
        inflated(gzip.compress(body), "gzip", limit=MAX_BODY_BYTES)
    fits = json.dumps({"instances": [{"user_id": 1, "item_ids": ["x" * 905] * 1_000}]}).encode()
    assert inflated(gzip.compress(fits), "gzip", limit=MAX_BODY_BYTES) == fits
