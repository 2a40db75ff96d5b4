"""Live events at a running endpoint: pushed, seen by the next request, kept over a kill."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import HemixError
from hemix.serving.client import push_events, rank
from tests.serving.live import TIME_MS, Endpoint, Workshop, start_endpoint, started, wait_ready


def _scores(url: str, user: int, items: list[int], time_ms: int = TIME_MS) -> list[float]:
    answer = rank(user, items, url=url, timestamp_ms=time_ms)
    assert answer["flags"] == []
    return list(answer["scores"]["click"])


def _event(name: str, user: int, item: int, **values: Any) -> dict[str, Any]:
    given = {"labels": {"click": 1, "long_view": 1}, "event_time": TIME_MS - 60_000, **values}
    return {"event_id": name, "user_id": user, "item_id": item, "known_at": TIME_MS - 1, **given}


def test_events_from_the_door_to_the_score(workshop: Workshop, tmp_path: Path) -> None:
    workshop.deploy(tmp_path, "v1")
    (user, other, *_), items = workshop.known()
    options = ("--models", str(tmp_path), "--events", str(tmp_path / "live" / "events.db"))
    with start_endpoint(tmp_path, *options[2:]) as first:
        with started(tmp_path, *options, log=tmp_path / "second.log") as second:
            wait_ready(second)
            before = [_scores(first.url, who, items) for who in (user, other)]
            assert before == [_scores(second.url, who, items) for who in (user, other)]
            pushed = [_event(f"e{n}", user, item) for n, item in enumerate(items[:5])]
            answer = push_events([*pushed, _event("bad", user, items[0], labels=7)], url=first.url)
            assert (answer["accepted"], answer["refused"], answer["durable"]) == (5, 1, True)
            after = [_scores(url, user, items) for url in (first.url, second.url)]
            assert after[0] == after[1] != before[0]
            # Another user's own columns are as they were; of a time before, nothing is known yet.
            assert _scores(first.url, user, items, TIME_MS - 2) == _scores(
                second.url, user, items, TIME_MS - 2
            )
            status, refused = second.post("/v1/events", {"events": []})
            assert (status, refused["error"]) == (400, "events: give a list of 1 to 1000 events.")
            assert second.post("/v1/events", [1])[0] == 400
            second.process.send_signal(signal.SIGKILL)
            second.process.wait(30)
        file = tmp_path / "again.jsonl"
        file.write_text("".join(json.dumps(e) + "\n" for e in [*pushed, {"event_id": "x"}]))
        result = CliRunner().invoke(app, ["events", str(file), "--url", first.url])
        assert isinstance(result.exception, HemixError)
        assert result.exception.exit_code == 3
        metrics = first.metrics()
        assert metrics['hemix_events_total{status="duplicate"}'] == 5
        assert metrics['hemix_events_total{status="refused"}'] == 2
        assert _scores(first.url, user, items) == after[0]
    (letters,) = (tmp_path / "live" / "dead_letters").iterdir()
    assert [json.loads(line)["event"]["event_id"] for line in letters.open()] == ["bad", "x"]
    with started(tmp_path, *options, log=tmp_path / "third.log") as third:
        wait_ready(third)
        assert _scores(third.url, user, items) == after[0]


def test_an_endpoint_that_was_started_without_says_so(endpoint: Endpoint) -> None:
    status, body = endpoint.post("/v1/events", {"events": [{}]})
    assert status == 503
    assert "--events" in body["error"]
