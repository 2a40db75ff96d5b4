"""A real S3 endpoint for tests: moto's server in a process of its own, on a free loopback port."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def _one_at_a_time(app: Any) -> Any:
    """moto checks If-Match and writes in two steps; S3 does both at once, and so does this."""
    lock = Lock()

    def serve(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with lock:
            return list(app(environ, start))

    return serve


def main() -> None:
    """Serve on a free port, print it, and end with stdin (that is: with whoever started this)."""
    import threading

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = _one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


@contextlib.contextmanager
def s3_endpoint() -> Iterator[str]:
    """Run the server; its address. The environment is left alone: see :func:`environment`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **KEYS},
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "moto's server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to use the endpoint."""
    return {**KEYS, "AWS_ENDPOINT_URL": endpoint}


def make_bucket(endpoint: str, name: str) -> None:
    import boto3

    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    ).create_bucket(Bucket=name)


if __name__ == "__main__":
    main()
