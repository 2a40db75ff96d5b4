"""A read-only object store on loopback that speaks enough of the S3 and GCS protocols to read."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from collections.abc import Iterator
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

STAMP = "2024-03-01T00:00:00.000Z"


def _handler(objects: dict[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            path = unquote(url.path).removeprefix("/download")
            if path.startswith("/storage/v1/b/"):
                self._google(path.removeprefix("/storage/v1/b/"), query)
            elif "list-type" in query:
                self._answer(_listing(objects, query).encode(), "application/xml")
            else:
                self._bytes(path.lstrip("/").partition("/")[2])

        def _google(self, path: str, query: dict[str, str]) -> None:
            key = path.partition("/o/")[2]
            if key and query.get("alt") == "media":
                self._bytes(key)
            elif key:
                found = json.dumps(_resource(key, objects[key])) if key in objects else None
                self._answer(found and found.encode(), "application/json")
            else:
                names = [k for k in sorted(objects) if k.startswith(query.get("prefix", ""))]
                items = [_resource(k, objects[k]) for k in names]
                self._answer(json.dumps({"items": items}).encode(), "application/json")

        def _bytes(self, key: str) -> None:
            content = objects.get(key)
            span = self.headers.get("Range")
            if content is None or not span:
                self._answer(content, "application/octet-stream")
                return
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(content)), len(content) - 1)
            extra = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
            self._answer(content[start : end + 1], "application/octet-stream", 206, extra)

        def _answer(
            self,
            body: bytes | str | None,
            kind: str,
            status: int = 200,
            extra: dict[str, str] | None = None,
        ) -> None:
            content = b"" if body is None else body if isinstance(body, bytes) else body.encode()
            self.send_response(404 if body is None else status)
            headers = {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "ETag": f'"{md5(content).hexdigest()}"',
                "Last-Modified": formatdate(1_709_251_200, usegmt=True),
                **(extra or {}),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


def _listing(objects: dict[str, bytes], query: dict[str, str]) -> str:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    files, folders = [], set()
    for key in sorted(objects):
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            continue
        files.append(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key])}</Size>"
            f"<ETag>&quot;{md5(objects[key]).hexdigest()}&quot;</ETag>"
            f"<LastModified>{STAMP}</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
        )
    common = [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
    return (
        '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
        f"<KeyCount>{len(files)}</KeyCount>{''.join(files)}{''.join(common)}</ListBucketResult>"
    )


def _resource(key: str, content: bytes) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "name": key,
        "bucket": "bucket",
        "size": str(len(content)),
        "etag": md5(content).hexdigest(),
        "generation": "1",
        "updated": STAMP,
        "timeCreated": STAMP,
    }


def _serve(objects: dict[str, bytes], port: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(objects))
    port.put(server.server_port)
    server.serve_forever()


@contextlib.contextmanager
def object_store(objects: dict[str, bytes]) -> Iterator[str]:
    """Serve ``objects`` (key -> bytes, in every bucket) and yield the address.

    In a process of its own: Arrow's client holds the interpreter while it waits for an answer.
    """
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    process = context.Process(target=_serve, args=(objects, port), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=60)}"
    finally:
        process.terminate()
        process.join()
