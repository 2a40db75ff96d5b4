"""Latency and throughput of the running endpoint, measured from another process over KServe V1.

Users and candidates are drawn evenly from the live feature store (seeded), so that the item cache
is as cold as a real catalogue would leave it. Each cell runs closed-loop clients on kept-alive
connections; times a stage and the server's CPU time are differences of ``/metrics``.

Beside it, and without an endpoint: what computing the user side once per request saves
(benchmarks/measuring/request_side.py).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pyarrow.parquet as pq
import typer

from benchmarks.measuring.request_side import request_side
from benchmarks.measuring.results import write_result
from hemix.errors import EnvironmentProblem
from hemix.pipelines.demo.endpoint import running_endpoint
from hemix.pipelines.local.folder import RunFolder
from hemix.progress import say

CLIENTS = (1, 8)
CANDIDATES = (100, 500)
BODIES = 512
PATH = "/v1/models/ranker:predict"
app = typer.Typer(add_completion=False)


def drive(url: str, bodies: list[bytes], clients: int, seconds: float) -> list[float]:
    """Send bodies in turn from ``clients`` threads for ``seconds``; latencies in ms."""
    address = urlsplit(url)
    latencies: list[float] = []
    failures: list[str] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        at = number * len(bodies) // clients
        while time.perf_counter() < end and not failures:
            start = time.perf_counter()
            connection.request(
                "POST", PATH, bodies[at % len(bodies)], {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            text = answer.read()
            latencies.append((time.perf_counter() - start) * 1000)
            if answer.status != 200:
                failures.append(f"{answer.status}: {text[:200]!r}")
            at += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise EnvironmentProblem(f"{url} answered {failures[0]}")
    return latencies


def requests(store: Path, candidates: int) -> list[bytes]:
    """:data:`BODIES` V1 bodies of known users and items."""
    generator = random.Random(0)
    users, items = _keys(store, "user"), _keys(store, "item")
    count = min(candidates, len(items))
    return [
        json.dumps(
            {
                "instances": [
                    {
                        "user_id": generator.choice(users),
                        "item_ids": generator.sample(items, count),
                    }
                ]
            }
        ).encode()
        for _ in range(BODIES)
    ]


def _keys(store: Path, side: str) -> list[Any]:
    files = sorted((store / "offline").glob(f"{side}_profile*/*.parquet"))
    if not files:
        raise EnvironmentProblem(
            f"{store} holds no {side} profiles.", hint="Run the pipeline first: hemix run."
        )
    keys: list[Any] = pq.read_table(files[-1], columns=[f"{side}_id"]).column(0).to_pylist()
    return keys


def scrape(url: str) -> dict[str, float]:
    """Seconds and counts of each stage, and the server's CPU seconds."""
    lines = httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text.splitlines()
    wanted = ("hemix_stage_seconds_sum", "hemix_stage_seconds_count", "process_cpu_seconds_total")
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(wanted))
    return {name: float(value) for name, value in pairs}


def stages(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Mean milliseconds of each stage between two scrapes."""
    found = {}
    for name in after:
        if name.startswith("hemix_stage_seconds_sum"):
            count = name.replace("_sum", "_count")
            number = after[count] - before.get(count, 0.0)
            if number:
                stage = name.split('"')[1]
                found[stage] = round((after[name] - before.get(name, 0.0)) / number * 1000, 3)
    return found


def cell(url: str, store: Path, clients: int, candidates: int, seconds: float) -> dict[str, Any]:
    """Measure one cell; the clients run in a process of their own."""
    job = {"url": url, "store": str(store), "clients": clients, "candidates": candidates}
    before = scrape(url)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", "--worker", json.dumps({**job, "s": seconds})],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = scrape(url)
    latencies = np.array(json.loads(done.stdout.splitlines()[-1]))
    cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    figures = {
        "clients": clients,
        "candidates": candidates,
        "requests": len(latencies),
        "p50_ms": round(float(np.percentile(latencies, 50)), 2),
        "p99_ms": round(float(np.percentile(latencies, 99)), 2),
        "rps": round(len(latencies) / seconds, 1),
        "server_cpu_ms": round(cpu / len(latencies) * 1000, 2),
        "stages_ms": stages(before, after),
    }
    say(
        f"{clients} clients, {candidates} candidates: p50 {figures['p50_ms']} ms, "
        f"p99 {figures['p99_ms']} ms, {figures['rps']} requests/s; "
        f"stages {figures['stages_ms']}, CPU {figures['server_cpu_ms']} ms per request"
    )
    return figures


@contextlib.contextmanager
def _endpoint(models: Path, url: str | None) -> Iterator[str]:
    if url is not None:
        yield url.rstrip("/")
        return
    from rich.console import Console

    with running_endpoint(RunFolder(models.resolve()), Console(stderr=True)) as endpoint:
        yield endpoint.http


@app.command()
def main(
    candidates: Annotated[int, typer.Option(min=1, max=1000, help="Candidates a request.")] = 100,
    models: Annotated[
        Path, typer.Option(metavar="DIR", help="Output folder of a run that deployed a version.")
    ] = Path("runs/demo"),
    url: Annotated[
        str | None, typer.Option(help="A running endpoint over the same folder; starts none.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Time of a cell.")] = 15.0,
    endpoint: Annotated[
        bool, typer.Option(help="Measure the endpoint, not the user side alone.")
    ] = True,
    write: Annotated[bool, typer.Option(help="Write a dated file under results/.")] = True,
    worker: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure; the last line is JSON with p50_ms, p99_ms and rps of one client of the endpoint.

    ``request_side_ratio``: 500 candidates scored with the user side computed once, against 500 full
    rows, history 1,000.
    """
    if worker:
        job = json.loads(worker)
        bodies = requests(Path(job["store"]), job["candidates"])
        print(json.dumps(drive(job["url"], bodies, job["clients"], job["s"])))
        return
    figures: dict[str, Any] = {}
    if endpoint:
        store = models / "feature_store"
        with _endpoint(models, url) as address:
            drive(address, requests(store, candidates), 1, min(seconds, 5.0))
            sizes = sorted({candidates, *CANDIDATES})
            cells = [cell(address, store, c, n, seconds) for n in sizes for c in CLIENTS]
        asked = next(c for c in cells if c["candidates"] == candidates and c["clients"] == 1)
        figures = {name: asked[name] for name in ("p50_ms", "p99_ms", "rps")} | {"cells": cells}
    side = request_side(seconds)
    figures |= {"request_side_ratio": side["ratio"], "request_side": side}
    if write:
        write_result(
            "serving" if endpoint else "request_side",
            figures,
            [Path(sys.executable).name, "-m", "benchmarks.serving", *sys.argv[1:]],
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
