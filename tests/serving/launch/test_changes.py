"""What happens around a running endpoint: promotions, tampering, a store that goes away, its end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hemix.errors import EnvironmentProblem, ModelVersionError
from hemix.serving.launch.ports import take_port
from hemix.serving.registry.opening import open_registry
from tests.serving.live import Endpoint, Workshop, serve_process, start_endpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with v1 alone; the tests of this file change what it serves, one after another."""
    root = tmp_path_factory.mktemp("changes")
    workshop.deploy(root, "v1")
    with start_endpoint(root) as endpoint:
        yield endpoint


def until(check: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def served(endpoint: Endpoint) -> set[str]:
    """The versions that 60 users see; every request must be answered."""
    answers = [endpoint.v1({"user_id": user, "item_ids": [1, 2]}) for user in range(60)]
    assert {status for status, _ in answers} == {200}
    return {body["predictions"][0]["version"] for _, body in answers}


def test_versions_change_while_requests_are_answered(running: Endpoint, workshop: Workshop) -> None:
    registry = open_registry(running.root / "registry")
    assert served(running) == {"v1"}
    workshop.deploy(running.root, "v2", share=0.5)
    until(lambda: served(running) == {"v1", "v2"})
    registry.promote("v2")
    until(lambda: served(running) == {"v2"})
    registry.rollback("v2")
    until(lambda: served(running) == {"v1"})


def test_a_tampered_challenger_is_refused_and_the_champion_goes_on(
    running: Endpoint, workshop: Workshop
) -> None:
    registry = open_registry(running.root / "registry")
    registry.add(workshop.model("v3"), share=None)
    weights = registry.folder("v3") / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    registry.challenge("v3", share=0.5)
    until(lambda: running.metrics().get('hemix_version_refused{reason="files",version="v3"}') == 1)
    assert served(running) == {"v1"}
    assert (
        "model.safetensors: the file is not the one its manifest names" in running.log.read_text()
    )
    # Repaired before it is out of the endpoint's sight, it would be served.
    registry.rollback("v3")
    until(lambda: not running.metrics().get('hemix_version_refused{reason="files",version="v3"}'))
    weights.write_bytes(good)


def test_a_registry_that_cannot_be_read_changes_nothing(running: Endpoint) -> None:
    path = running.root / "registry" / "state.json"
    good = path.read_bytes()
    before = running.metrics()["hemix_registry_errors_total"]
    path.write_bytes(b"{")
    until(lambda: running.metrics()["hemix_registry_errors_total"] > before)
    assert served(running) == {"v1"}
    path.write_bytes(good)


def test_a_feature_store_that_goes_away_is_flagged_and_counted(
    running: Endpoint, workshop: Workshop
) -> None:
    users, items = workshop.known(users=3)
    (database,) = (running.root / "feature_store").glob("online*.db")
    good = database.read_bytes()
    database.write_bytes(b"")
    try:
        before = running.metrics()["hemix_feature_store_errors_total"]
        start = time.monotonic()
        status, body = running.v1({"user_id": users[0], "item_ids": items})
        assert time.monotonic() - start < 10
        assert status == 200
        (answer,) = body["predictions"]
        assert answer["flags"] == ["features_unavailable"]
        assert len(answer["scores"]["click"]) == len(items)
        assert running.metrics()["hemix_feature_store_errors_total"] > before
    finally:
        database.write_bytes(good)


def test_exposures_hold_every_answer_and_the_end_is_clean(
    running: Endpoint, workshop: Workshop
) -> None:
    """Last in this file: it stops the endpoint."""
    _, items = workshop.known()
    for number in range(5):
        request = {"user_id": number, "item_ids": items, "request_id": f"last-{number}"}
        assert running.v1(request)[0] == 200
    running.process.terminate()
    assert running.process.wait(timeout=30) == 0
    files = sorted((running.root / "exposures").glob("exposures-*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    last = {line["request_id"]: line for line in lines if line["request_id"].startswith("last-")}
    assert sorted(last) == [f"last-{n}" for n in range(5)]
    line = last["last-3"]
    assert (line["user_id"], line["version"], line["item_ids"]) == (3, "v1", items)
    assert len(line["scores"]["click"]) == len(items)
    assert "serve: stopped" in running.log.read_text()


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"Port {port} .* --grpc-port N"):
            take_port("127.0.0.1", port, option="--grpc-port")


def test_the_command_fails_early_and_says_why(deployed: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = serve_process(deployed, "--port", str(port), "--grpc-port", "0", log=log)
        assert process.wait(timeout=60) == EnvironmentProblem.exit_code
        assert f"Port {port}" in log.read_text()
    manifest = deployed / "registry" / "versions" / "v1" / "transform" / "spec.json"
    manifest.write_text(manifest.read_text() + " ")
    process = serve_process(deployed, "--port", "0", "--grpc-port", "0", log=log)
    assert process.wait(timeout=60) == ModelVersionError.exit_code
    assert "spec.json" in log.read_text()
