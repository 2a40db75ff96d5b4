"""The endpoint under more than it can do: goodput, latencies, refusals, liveness, memory.

A real server over a finished run, the load from a process of its own (:mod:`benchmarks.inputs.load`). First
the load it carries is found (open loop, Poisson arrivals: the highest of rising rates of which 97 %
are answered within the deadline), then it is offered 1, 2, 5 and 10 times that; then 300 connections
in closed loop, clients that hang up, giant bodies beside small ones, and a silent feature store (its
online store moved to a redis that is then stopped).

Generator and server share the machine: its rates are relative to each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import typer

from benchmarks.inputs.load import Load, Seen, request
from benchmarks.measuring.results import write_result
from benchmarks.serving import _keys, requests, scrape
from hemix.errors import EnvironmentProblem
from hemix.features.store.settings import online_settings, open_store, read_settings, write_settings
from hemix.progress import say
from hemix.serving.launch.ports import take_port

FACTORS = (1, 2, 5, 10)
CONNECTIONS = 300
LIVE = "/v2/health/live"
CARRIED = 0.97
"""Share of requests in time, of a load that counts as carried."""
app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that was started, and what is asked of it."""

    url: str
    pid: int
    bodies: list[bytes]
    giants: list[bytes]
    timeout_s: float

    def load(self, bodies: list[bytes] | None = None) -> Load:
        address = urlsplit(self.url)
        prepared = [request(body, self.timeout_s) for body in bodies or self.bodies]
        host, port = str(address.hostname), address.port
        assert port is not None
        return Load(host, port, prepared, wait_s=4 * self.timeout_s + 10)


async def phase(
    server: Server, seconds: float, *, rate: float = 0.0, connections: int = 0
) -> dict[str, Any]:
    """Offer a load and say what came of it."""
    load, seen, live = server.load(), Seen(), Seen()
    probe = asyncio.create_task(server.load().probe(LIVE, 0.05, live))
    memory = asyncio.create_task(_peak(server.pid))
    began = time.perf_counter()
    if connections:
        await load.closed_loop(connections, seconds, seen)
    else:
        await load.open_loop(rate, seconds, seen)
    took = time.perf_counter() - began
    for task in (probe, memory):
        task.cancel()
    (peak,) = await asyncio.gather(memory, return_exceptions=True)
    load.close()
    await asyncio.sleep(0.5)
    return {
        "offered_rps": round(sum(len(s) for s in seen.seconds.values()) / seconds, 1),
        "goodput_rps": round(seen.good(server.timeout_s) / max(seconds, took), 2),
        "answered": seen.count(200),
        "in_time": seen.good(server.timeout_s),
        "refused": seen.count(503),
        "expired": seen.count(504),
        "unanswered": seen.count(0),
        "answered_p50_ms": seen.milliseconds(200, 50),
        "answered_p99_ms": seen.milliseconds(200, 99),
        "refused_p99_ms": seen.milliseconds(503, 99),
        "live_p99_ms": live.milliseconds(200, 99),
        "live_failed": live.count(0, 503, 504),
        "memory_mb": peak if isinstance(peak, int) else None,
    }


async def _peak(pid: int) -> int:
    """The largest resident memory in MB, until cancelled."""
    peak = 0
    try:
        while True:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    peak = max(peak, int(line.split()[1]) // 1024)
            await asyncio.sleep(0.2)
    except asyncio.CancelledError:
        return peak


async def carried(server: Server, seconds: float) -> float:
    """The highest of rising rates that is answered in time."""
    seen = Seen()
    load = server.load()
    await load.closed_loop(4, seconds, seen)
    load.close()
    most = seen.good(server.timeout_s) / seconds
    best = 0.3 * most
    for share in (0.5, 0.7, 0.85, 1.0, 1.15):
        found = await phase(server, seconds, rate=share * most)
        if found["in_time"] < CARRIED * found["offered_rps"] * seconds:
            break
        best = share * most
    say(f"carries {best:.1f} requests/s (4 clients in closed loop: {most:.1f})")
    return best


async def hung_up(server: Server, rate: float, seconds: float) -> dict[str, Any]:
    """Clients that leave after 20 ms: what they cost afterwards, and what is counted of them."""
    before = scrape(server.url)
    good = _answered(server.url)
    count = await server.load(server.giants).hung_up(rate, seconds, 0.02)
    while_there = scrape(server.url)
    await asyncio.sleep(2.0)
    after = scrape(server.url)
    name = "process_cpu_seconds_total"
    return {
        "clients": count,
        "cpu_s_while_they_came": round(while_there[name] - before[name], 2),
        "cpu_s_in_2_s_afterwards": round(after[name] - while_there[name], 2),
        "counted_as_answered": _answered(server.url) - good,
    }


def _answered(url: str) -> int:
    lines = httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text.splitlines()
    found = [n for n in lines if n.startswith("hemix_requests_total") and 'status="200"' in n]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in found))


async def mixed(server: Server, rate: float, seconds: float) -> dict[str, Any]:
    """Small requests alone, and beside four clients of giant bodies in closed loop."""
    alone = await phase(server, seconds, rate=rate)
    giants, seen = server.load(server.giants), Seen()
    beside, _ = await asyncio.gather(
        phase(server, seconds, rate=rate), giants.closed_loop(4, seconds, seen)
    )
    giants.close()
    return {
        "alone": alone,
        "beside_giants": beside,
        "giants_answered": seen.count(200),
        "giants_refused": seen.count(503),
        "giants_expired": seen.count(504),
    }


async def silent(server: Server, rate: float, seconds: float, redis: int) -> dict[str, Any]:
    """The load it carries, before its store falls silent, after the first second of that, and after."""
    before = await phase(server, seconds, rate=rate)
    os.kill(redis, signal.SIGSTOP)
    try:
        first = await phase(server, 1.0, rate=rate)
        rest = await phase(server, seconds, rate=rate)
    finally:
        os.kill(redis, signal.SIGCONT)
    await asyncio.sleep(2.0)
    return {
        "before": before,
        "first_second": first,
        "silent": rest,
        "kept": round(rest["goodput_rps"] / before["goodput_rps"], 3),
        "again": await phase(server, seconds, rate=rate),
    }


def giant_bodies(store: Path) -> list[bytes]:
    """Bodies of 16 requests of as many candidates as a request may have."""
    generator = random.Random(1)
    users, items = _keys(store, "user"), _keys(store, "item")
    count = min(1_000, len(items))
    return [
        json.dumps(
            {
                "instances": [
                    {
                        "user_id": generator.choice(users),
                        "item_ids": generator.sample(items, count),
                    }
                    for _ in range(16)
                ]
            }
        ).encode()
        for _ in range(4)
    ]


@contextlib.contextmanager
def served(models: Path, store: Path, candidates: int, timeout_s: float) -> Iterator[Server]:
    """Run ``hemix serve`` over a run's registry and a feature store."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "serve.log"
        command = [sys.executable, "-m", "hemix", "serve", "--models", str(models)]
        command += ["--features", str(store), "--port", "0", "--grpc-port", "0"]
        command += ["--exposures", f"{scratch}/exposures", "--timeout", f"{timeout_s:g}"]
        with log.open("w") as handle:
            process = subprocess.Popen(command, stdout=handle, stderr=subprocess.STDOUT)
        try:
            url = _listening(process, log)
            yield Server(
                url=url,
                pid=process.pid,
                bodies=requests(store, candidates),
                giants=giant_bodies(store),
                timeout_s=timeout_s,
            )
        finally:
            process.terminate()
            process.wait(60)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            words = line.split()
            if words[:1] == ["V1"]:
                url = "/".join(words[1].split("/")[:3])
                ready = f"{url}/v2/health/ready"
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(ready, timeout=5).raise_for_status()
                    return url
        time.sleep(0.2)
    raise EnvironmentProblem(f"The server did not start:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def on_redis(store: Path) -> Iterator[tuple[Path, int] | None]:
    """A copy of a feature store whose online rows are in a redis of our own, and its process."""
    binary = shutil.which("redis-server")
    if binary is None:
        say("no redis-server on PATH: the silent store is left out")
        yield None
        return
    with tempfile.TemporaryDirectory() as scratch:
        free = take_port("127.0.0.1", 0, option="redis")
        port = free.getsockname()[1]
        free.close()
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        redis = subprocess.Popen([*command, "--dir", scratch], stdout=subprocess.DEVNULL)
        try:
            copy = Path(scratch) / "store"
            shutil.copytree(store, copy)
            _fill(copy, f"redis://127.0.0.1:{port}")
            yield copy, redis.pid
        finally:
            redis.send_signal(signal.SIGCONT)
            redis.terminate()
            redis.wait(30)


def _fill(folder: Path, address: str) -> None:
    """Move the online rows of the store in ``folder`` to redis, from its offline files."""
    import pyarrow.parquet as pq
    from feast.utils import _convert_arrow_to_proto

    settings = read_settings(folder)
    registry = settings["registry"]
    write_settings(
        folder,
        project=settings["project"],
        online=online_settings(address),
        registry=registry if isinstance(registry, dict) else {"path": registry},
    )
    store = open_store(folder)
    provider = store._get_provider()
    for view in store.list_feature_views():
        file = sorted((folder / "offline" / view.name).glob("*.parquet"))[-1]
        table = pq.read_table(file, partitioning=None).combine_chunks()
        keys = {column.name: column.dtype.to_value_type() for column in view.entity_columns}
        for batch in table.to_batches(max_chunksize=20_000):
            rows = _convert_arrow_to_proto(batch, view, keys)
            provider.online_write_batch(store.config, view, rows, None)


async def _overload(server: Server, seconds: float) -> dict[str, Any]:
    await carried(server, min(seconds, 2.0))  # warm
    load = await carried(server, seconds)
    figures: dict[str, Any] = {"carried_rps": round(load, 2), "phases": {}}
    for factor in FACTORS:
        found = await phase(server, seconds, rate=factor * load)
        say(f"{factor} times the load: {found}")
        figures["phases"][f"{factor}x"] = found
    best = max(found["goodput_rps"] for found in figures["phases"].values())
    tenfold = figures["phases"][f"{FACTORS[-1]}x"]
    figures["goodput_kept_at_10x"] = round(tenfold["goodput_rps"] / best, 3)
    figures["closed_loop"] = await phase(server, seconds, connections=CONNECTIONS)
    say(f"{CONNECTIONS} connections: {figures['closed_loop']}")
    figures["hung_up"] = await hung_up(server, 5.0, seconds)
    figures["mixed"] = await mixed(server, 0.3 * load, seconds)
    return figures


@app.command()
def main(
    models: Annotated[
        Path, typer.Option(metavar="DIR", help="Output folder of a run that deployed a version.")
    ] = Path("runs/demo"),
    candidates: Annotated[int, typer.Option(min=1, max=1000, help="Candidates a request.")] = 100,
    timeout: Annotated[float, typer.Option(min=0.05, help="Deadline of a request, s.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1.0, max=60.0, help="Time of a phase.")] = 8.0,
    redis: Annotated[bool, typer.Option(help="Measure the silent store too.")] = True,
    write: Annotated[bool, typer.Option(help="Write a dated file under results/.")] = True,
) -> None:
    """Measure; the last line is JSON with carried_rps, goodput_kept_at_10x and each phase."""
    store = models.resolve() / "feature_store"
    with served(models.resolve(), store, candidates, timeout) as server:
        figures = asyncio.run(_overload(server, seconds))
    if redis:
        with on_redis(store) as moved:
            if moved is not None:
                folder, pid = moved
                with served(models.resolve(), folder, candidates, timeout) as server:
                    rate = 0.5 * figures["carried_rps"]
                    figures["silent_store"] = asyncio.run(silent(server, rate, seconds, pid))
    figures |= {"candidates": candidates, "timeout_s": timeout, "seconds": seconds}
    if write:
        command = [Path(sys.executable).name, "-m", "benchmarks.overload", *sys.argv[1:]]
        write_result("overload", figures, command)
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
