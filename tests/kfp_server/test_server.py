"""The test of the test: the server refuses what KFP refuses, and nothing else moves its clock."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kfp_server import KfpServer
from tests.kfp_server.cron import parse
from tests.kfp_server.macros import Macros
from tests.kfp_server.schedules import Schedule
from tests.kfp_server.swagger import Refused

START = datetime(2022, 5, 2, tzinfo=UTC)  # a Monday


@pytest.fixture
def server() -> Iterator[KfpServer]:
    shared = Path(__file__).resolve().parents[3] / "shared" / "kubernetes"
    if not shared.is_dir():
        pytest.skip("../shared/kubernetes is not on this machine")
    with KfpServer(shared / "kfp_api_swagger_2.17.0.json", tokens={"t"}) as running:
        yield running


def ask(
    server: KfpServer, method: str, path: str, body: Any = None, token: str = "t"
) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{server.url}/apis/v2beta1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nothing", None, 404, "Not Found"),
        ("DELETE", "/experiments", None, 405, "Method Not Allowed"),
        ("GET", "/experiments?page_size=many", None, 400, "page_size"),
        ("GET", "/experiments?colour=red", None, 400, "colour"),
        ("GET", '/experiments?filter={"predicates":[{"stringValue":"x"}]}', None, 400, "filter"),
        ("POST", "/experiments", None, 400, "needs a body"),
        ("POST", "/experiments", {"name": "x"}, 400, "name"),
        ("POST", "/experiments", {"display_name": 7}, 400, "display_name"),
        ("POST", "/experiments", {"display_name": ""}, 400, "empty"),
        ("POST", "/recurringruns", {"max_concurrency": 1}, 400, "max_concurrency"),
        ("POST", "/recurringruns", {"namespace": "x"}, 400, "namespace"),
        ("POST", "/recurringruns", {"max_concurrency": "11"}, 400, "Support 1-10"),
        ("GET", "/runs/absent", None, 404, "absent"),
        ("POST", "/runs/absent:terminate", None, 404, "absent"),
        ("GET", "/experiments?namespace=x", None, 400, "single-user"),
    ],
)
def test_requests_are_held_against_the_interface(
    server: KfpServer, method: str, path: str, body: Any, status: int, words: str
) -> None:
    path = path.replace("{", "%7B").replace("}", "%7D").replace('"', "%22")
    found, answer = ask(server, method, path, body)
    assert (found, words in answer["message"]) == (status, True), answer
    assert server.writes() in ([], [server.calls[-1]] if server.calls else [])


def test_a_request_without_the_token_is_refused(server: KfpServer) -> None:
    assert ask(server, "GET", "/experiments", token="other")[0] == 401


def test_answers_are_held_against_the_interface(server: KfpServer) -> None:
    operation, _ = server.swagger.find("GET", "/apis/v2beta1/runs/x")
    server.swagger.check_answer(operation, 200, {"run_id": "x", "state": "RUNNING"})
    with pytest.raises(AssertionError, match="GOING"):
        server.swagger.check_answer(operation, 200, {"run_id": "x", "state": "GOING"})


def test_what_is_made_is_there(server: KfpServer) -> None:
    status, made = ask(server, "POST", "/experiments", {"display_name": "x"})
    assert status == 200
    assert ask(server, "GET", f"/experiments/{made['experiment_id']}") == (200, made)
    assert ask(server, "POST", "/experiments", {"display_name": "x"})[0] == 409


# ---- cron ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 3 * * *", "2022-05-02T03:00:00"),
        ("30 */20 * * * *", "2022-05-02T00:00:30"),
        ("0 0 3 * * mon", "2022-05-02T03:00:00"),
        ("0 0 0 1 1 ?", "2023-01-01T00:00:00"),
        ("0 0 0 13 * 5", "2022-05-06T00:00:00"),  # the 13th or a Friday
        ("0 0 0 31 2 ?", None),
        ("@weekly", "2022-05-08T00:00:00"),
        ("@every 1h30m", "2022-05-02T01:30:00"),
        ("0 3 * * 1", "2023-01-01T00:03:00"),  # five fields: seconds first, the weekday left out
    ],
)
def test_cron_fires_as_robfig_does(text: str, expected: str | None) -> None:
    found = parse(text).next(START)
    assert (found and found.replace(tzinfo=None).isoformat()) == expected


@pytest.mark.parametrize(
    "text", ["", "* * *", "61 * * * * *", "0 0 0 0 * *", "@often", "x * * * * *"]
)
def test_cron_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="Schedule cron is not a supported format"):
        parse(text)


# ---- the controller --------------------------------------------------------------------------------


def test_macros_are_written_out_as_kfp_does() -> None:
    """The examples of KFP's parameter_formatter_test.go."""
    macros = Macros(
        run_id="some-run-uuid",
        scheduled=datetime.fromtimestamp(25, UTC),
        now=datetime.fromtimestamp(26, UTC),
        index=27,
    )
    assert macros.expand("FOO [[RunUUID]] FOO") == "FOO some-run-uuid FOO"
    assert macros.expand("FOO [[ScheduledTime]] FOO") == "FOO 19700101000025 FOO"
    assert macros.expand("FOO [[CurrentTime]] FOO") == "FOO 19700101000026 FOO"
    assert macros.expand("FOO [[Index]] FOO") == "FOO 27 FOO"
    assert macros.expand("FOO [[ScheduledTime.15-04-05]] FOO") == "FOO 00-00-25 FOO"
    assert macros.expand({"a": ["[[Index]]", 7]}) == {"a": ["27", 7]}
    assert macros.expand("FOO [[FOO]] FOO") == "FOO [[FOO]] FOO"


def schedule(no_catchup: bool = False, **trigger: Any) -> Schedule:
    kind = "cron_schedule" if "cron" in trigger else "periodic_schedule"
    return Schedule(
        body={"max_concurrency": "1", "no_catchup": no_catchup, "trigger": {kind: trigger}},
        created=START,
        enabled=True,
    )


def after(**named: float) -> datetime:
    return START + timedelta(**named)


@pytest.mark.parametrize(
    ("one", "now", "expected"),
    [
        (schedule(cron="0 0 3 * * *"), after(days=3), after(hours=3)),
        (schedule(cron="0 0 3 * * *", no_catchup=True), after(days=3), after(days=2, hours=3)),
        (
            schedule(cron="0 0 3 * * *", start_time="2022-06-01T00:00:00Z"),
            after(days=3),
            after(days=30, hours=3),
        ),
        (schedule(cron="0 0 3 * * *", end_time="2022-05-02T02:00:00Z"), after(days=3), None),
        (
            schedule(cron="0 0 3 * * *", no_catchup=True, end_time="2022-05-03T12:00:00Z"),
            after(days=9),
            after(days=1, hours=3),
        ),
        (schedule(interval_second="3600"), after(hours=5), after(hours=1)),
        (schedule(interval_second="3600", no_catchup=True), after(hours=5), after(hours=5)),
        (schedule(interval_second="3600", no_catchup=True), after(hours=1.5), after(hours=1)),
        (
            schedule(interval_second="3600", start_time="2022-05-02T06:00:00Z"),
            after(hours=5),
            after(hours=7),
        ),
        (schedule(interval_second="3600", end_time="2022-05-02T00:30:00Z"), after(hours=5), None),
    ],
)
def test_the_next_time_follows_the_controller(
    one: Schedule, now: datetime, expected: datetime | None
) -> None:
    assert one.next(now) == expected
