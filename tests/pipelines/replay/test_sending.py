"""Against a real HTTP server on loopback that refuses, fails and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hemix.errors import EnvironmentProblem
from hemix.pipelines.demo.replay import sending
from hemix.pipelines.demo.replay.sending import Sent, send
from hemix.pipelines.demo.replay.traffic import ReplayRequest


class Server(ThreadingHTTPServer):
    """Answers 503 to the first ``busy`` posts of each request id, 400 to ids in ``refused``."""

    def __init__(self, busy: int = 0, refused: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.busy, self.refused = busy, refused
        self.seen: Counter[str] = Counter()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (instance,) = body["instances"]
        request = instance["request_id"]
        self.server.seen[request] += 1
        if request in self.server.refused:
            self._answer(400, {"error": "item_ids: no"})
        elif self.server.seen[request] <= self.server.busy:
            self._answer(503, {"error": "128 requests are waiting."})
        else:
            self._answer(200, {"predictions": [{"request_id": request}]})

    def _answer(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending.time, "sleep", lambda _: None)


@pytest.fixture
def server() -> Iterator[Server]:
    own = Server()
    thread = threading.Thread(target=own.serve_forever, daemon=True)
    thread.start()
    yield own
    own.shutdown()
    own.server_close()


def requests(count: int) -> list[ReplayRequest]:
    return [
        ReplayRequest(
            request_id=f"r{n}", user_id=n, item_ids=[1, 2], context={"tab": 1}, timestamp_ms=5
        )
        for n in range(count)
    ]


def told(_: Sent) -> None:
    return None


def test_busy_is_asked_again_with_the_same_id_and_refusals_are_counted(server: Server) -> None:
    server.busy, server.refused = 2, ("r3",)
    sent = send(requests(8), url=server.url, clients=3, told=told)
    assert (sent.answered, sent.refused, sent.lost) == (7, 1, 0)
    assert "item_ids: no" in sent.first_problem
    assert server.seen == {f"r{n}": 1 if n == 3 else 3 for n in range(8)}


def test_an_endpoint_that_is_gone_ends_the_replay_with_what_to_do(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(EnvironmentProblem, match="no longer answers") as caught:
        send(requests(200), url=server.url, clients=4, told=told)
    assert "continues where this one stopped" in caught.value.hint
