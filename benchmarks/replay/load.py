"""A running endpoint under a stream of events: how soon an event is seen, how long a ranking takes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.replay.stage import Stage

CANDIDATES = 100
PAUSE_S = 0.05
RATE = 1_000


@contextmanager
def endpoint(stage: Stage, store: str) -> Iterator[int]:
    """``hemix serve --events store`` on the stage's folder; its HTTP port."""
    log = stage.folder / "serve.log"
    command = [sys.executable, "-m", "hemix", "serve", "--models", str(stage.folder)]
    command += ["--port", "0", "--grpc-port", "0", "--events", store]
    with log.open("w") as handle:
        process = subprocess.Popen(
            command, stdout=handle, stderr=subprocess.STDOUT, env={**os.environ}
        )
    try:
        yield _port(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if line.split()[:1] == ["V2"]:
                port = int(line.split()[1].split("/")[2].rsplit(":", 1)[1])
                if _status(port, "GET", "/v2/health/ready")[0] == 200:
                    return port
        time.sleep(0.2)
    raise RuntimeError(f"the endpoint did not start:\n{log.read_text()}")


def _status(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


class Refused(RuntimeError):
    """The endpoint has no room now."""


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: object) -> Any:
        self._connection.request(
            "POST", path, json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise (Refused if answer.status == 503 else RuntimeError)(
                f"{path} answered {answer.status}: {data.decode()[:300]}"
            )
        return json.loads(data)

    def rank(self, instance: dict[str, Any]) -> Any:
        return self.post("/v1/models/ranker:predict", {"instances": [instance]})["predictions"][0]


class Made:
    """Requests and events of known users and items, of now."""

    def __init__(self, stage: Stage) -> None:
        rows = stage.held_out("interactions")[:50_000]
        self._rng = np.random.default_rng(0)
        self._users = [row["user_id"] for row in rows]
        self._items = list(dict.fromkeys(row["item_id"] for row in rows))
        self._task = stage.definition.tasks[0]
        self._run = f"{time.time_ns()}"
        self._number = 0
        self._turn = threading.Lock()

    def instance(self, user: Any = None) -> dict[str, Any]:
        with self._turn:
            picks = self._rng.choice(len(self._items), CANDIDATES, replace=False)
            chosen = self._users[int(self._rng.integers(len(self._users)))]
        return {
            "user_id": chosen if user is None else user,
            "item_ids": [self._items[int(n)] for n in picks],
        }

    def event(self) -> dict[str, Any]:
        with self._turn:
            self._number += 1
            user = self._users[int(self._rng.integers(len(self._users)))]
            item = self._items[int(self._rng.integers(len(self._items)))]
            return {
                "event_id": f"{self._run}-{self._number}",
                "user_id": user,
                "item_id": item,
                "event_time": int(time.time() * 1000) - 1,
                "labels": {self._task: 1},
            }


def measure(stage: Stage, store: str, *, requests: int = 400) -> dict[str, float]:
    """Latencies of rankings alone and under :data:`RATE` events per second, and how fresh answers are."""
    made = Made(stage)
    with endpoint(stage, store) as port:
        client = Client(port)
        _ranked(client, made, 100)
        idle = _ranked(client, made, requests)
        stop, pushed = threading.Event(), [0, 0.0]
        pusher = threading.Thread(target=_push, args=(port, made, stop, pushed))
        pusher.start()
        time.sleep(2.0)
        busy = _ranked(client, made, requests)
        fresh, seen = _freshness(client, made, 100)
        stop.set()
        pusher.join()
    return {
        "rank_p50_ms_idle": _percentile(idle, 50),
        "rank_p99_ms_idle": _percentile(idle, 99),
        "rank_p50_ms_under_events": _percentile(busy, 50),
        "rank_p99_ms_under_events": _percentile(busy, 99),
        "events_per_s_pushed": round(pushed[0] / pushed[1], 1),
        "freshness_p50_ms": _percentile(fresh, 50),
        "freshness_p99_ms": _percentile(fresh, 99),
        "seen_by_the_next_request": seen,
        "asked_for_freshness": len(fresh),
    }


def _ranked(client: Client, made: Made, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        instance = made.instance()
        begun = time.perf_counter()
        client.rank(instance)
        seconds.append(time.perf_counter() - begun)
        time.sleep(0.01)
    return seconds


def _push(port: int, made: Made, stop: threading.Event, pushed: list[float]) -> None:
    client, begun, sent = Client(port), time.perf_counter(), 0
    while not stop.is_set():
        due = int((time.perf_counter() - begun) * RATE) - sent
        if due > 0:
            batch = [made.event() for _ in range(min(due, 500))]
            while not stop.is_set():
                try:
                    client.post("/v1/events", {"events": batch})
                except Refused:  # full: as a client does, the same events again
                    time.sleep(0.2)
                else:
                    sent += len(batch)
                    break
        time.sleep(PAUSE_S)
    pushed[:] = [sent, time.perf_counter() - begun]


def _freshness(client: Client, made: Made, count: int) -> tuple[list[float], int]:
    """Seconds from sending an event to its acknowledgement, and how often the very next answer to the
    same question was another: an event of the user's own moves its sequence."""
    seconds, seen = [], 0
    for _ in range(count):
        event = made.event()
        instance = made.instance(event["user_id"])
        before = client.rank(instance)["scores"]
        begun = time.perf_counter()
        client.post(
            "/v1/events", {"events": [{**event, "event_time": int(time.time() * 1000) - 1}]}
        )
        seconds.append(time.perf_counter() - begun)
        seen += client.rank(instance)["scores"] != before
    return seconds, seen


def _percentile(seconds: list[float], percentile: float) -> float:
    return round(float(np.percentile(seconds, percentile)) * 1000, 1)
