"""Real servers for the tests of the store: redis and PostgreSQL, each with a password."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = 'a,b="c d=1'
"""What a password may hold: nothing of it may be cut or decoded on its way."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, f"{process.args!r} ended at once"
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run redis-server; its ``redis://`` address without the password."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not on PATH")
    port = free_port()
    command = [
        binary,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--databases",
        "64",
    ]
    server = subprocess.Popen(
        [*command, "--dir", str(folder), "--requirepass", PASSWORD], stdout=subprocess.DEVNULL
    )
    try:
        _await(port, server)
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a fresh PostgreSQL cluster; its address without the password and without a database.

    PostgreSQL refuses to run as root; then the user that its package made runs it.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (str(binaries[-1]) if binaries else None)
    if found is None:
        pytest.skip("PostgreSQL is not installed (initdb is neither on PATH nor in /usr/lib)")
    user = None
    folder = Path(tempfile.mkdtemp(prefix="hemix-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if os.getuid() == 0:
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("root cannot run PostgreSQL, and there is no user postgres")
        shutil.chown(folder, user)
        shutil.chown(folder / "password", user)
    cluster, port = folder / "cluster", free_port()
    make = [found, "-D", str(cluster), "-U", "feast", "-A", "scram-sha-256", "--no-sync"]
    start = [str(Path(found).parent / "postgres"), "-D", str(cluster), "-h", "127.0.0.1"]
    options: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": folder,
        "user": user,
    }
    subprocess.run([*make, "--pwfile", str(folder / "password")], check=True, **options)
    server = subprocess.Popen(
        [*start, "-p", str(port), "-k", str(folder), "-c", "fsync=off"], **options
    )
    try:
        _await(port, server)
        yield f"postgresql://feast@127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)  # "fast": does not wait for clients that are still there
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def make_database(address: str, name: str) -> str:
    """A new database of the server; its address."""
    import psycopg

    with psycopg.connect(f"{address}/postgres", password=PASSWORD, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{address}/{name}"
