"""Transformer and predictors apart: the same answers, bit for bit, and what happens when one is gone.

The tests of this file share processes and run in order: the last ones end them one by one.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemix.serving.client import push_events, rank
from hemix.serving.experiments.assignment import assign, variants_of
from hemix.serving.two_roles.routing_table import PredictorsFile
from tests.serving.live import TIME_MS, Endpoint, Workshop, started, wait_ready
from tests.serving.roles import Split, start_split, transformer_options

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def split(
    endpoint: Endpoint, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Split]:
    """The shared endpoint's registry and store, served by processes of their own."""
    root = tmp_path_factory.mktemp("split")
    with start_split(workshop, endpoint.root, root, ("v1", "v2")) as running:
        yield running


def ask(endpoint: Endpoint, protocol: str, user: int, items: list[int], **more: Any) -> Any:
    url = endpoint.grpc if protocol == "grpc" else endpoint.url
    return rank(user, items, url=url, protocol=protocol, timeout_s=60, **more)  # type: ignore[arg-type]


def until(check: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def users_of(split: Split, variant: str, count: int = 5) -> list[int]:
    state = PredictorsFile(split.file).state()
    arms = variants_of(state)
    found = (u for u in range(10_000) if assign(arms, salt=state.salt, user_id=u).name == variant)
    return [next(found) for _ in range(count)]


def test_a_transformer_waits_for_its_champion(split: Split) -> None:
    """Before the predictors started: alive, not ready, and it says whom it waits for."""
    assert split.alone == {
        "/v2/health/live": 200,
        "/v2/health/ready": 503,
        "/v2/models/ranker/ready": 503,
        "predict": 503,
    }
    assert "Not ready yet: Predictor v1: no answer" in split.transformer.log.read_text()


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc"])
def test_the_answers_are_those_of_one_process(
    split: Split, endpoint: Endpoint, workshop: Workshop, protocol: str
) -> None:
    users, items = workshop.known(users=12, items=60)
    options = {"context": {"tab": 1}, "request_id": "same", "timestamp_ms": TIME_MS}
    cases = [(user, items[:size]) for user, size in zip(users, [1, 2, 7, 60] * 3, strict=True)]
    cases += [(999_999_999, items[:3]), (users[0], [888_888_888, items[0]])]
    versions = set()
    for user, candidates in cases:
        one = ask(endpoint, protocol, user, candidates, **options)
        apart = ask(split.transformer, protocol, user, candidates, **options)
        assert apart == one
        versions.add(one["version"])
    assert versions == {"v1", "v2"}, "both predictors were asked"


def test_a_thousand_candidates_and_several_requests_in_one_call(
    split: Split, endpoint: Endpoint, workshop: Workshop
) -> None:
    users, items = workshop.known(users=8, items=500)
    many = {"user_id": users[0], "item_ids": (items * 2)[:1000], "timestamp_ms": TIME_MS}
    few = [{"user_id": user, "item_ids": items[:5], "timestamp_ms": TIME_MS} for user in users]

    def answers(instances: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        return [e.v1(*instances)[1]["predictions"] for e in (endpoint, split.transformer)]

    for instances in ([many], few):
        found = answers(instances)
        # On a busy machine a read of the store may miss its deadline, which has tests of its own.
        while any("features_unavailable" in answer["flags"] for part in found for answer in part):
            found = answers(instances)
        for left, right in zip(*found, strict=True):
            assert left.pop("request_id") != right.pop("request_id"), "each made its own"
            assert left == right


def test_bad_requests_are_refused_before_any_predictor_is_asked(split: Split) -> None:
    status, body = split.transformer.v1({"user_id": 7, "item_ids": []})
    assert (status, body["error"][:21]) == (400, "instances[0].item_ids")


def test_exposures_name_the_version_that_scored(split: Split, workshop: Workshop) -> None:
    _, items = workshop.known(items=3)
    ask(split.transformer, "v1", 7, items, request_id="exposed")
    files = lambda: (split.root / "exposures").glob("exposures-*.jsonl")  # noqa: E731
    lines = lambda: [json.loads(x) for f in files() for x in f.read_text().splitlines()]  # noqa: E731
    until(lambda: any(line["request_id"] == "exposed" for line in lines()))
    (line,) = [line for line in lines() if line["request_id"] == "exposed"]
    assert line["version"] in ("v1", "v2")
    assert len(line["scores"]["click"]) == 3


def test_the_predictor_says_what_it_takes_and_refuses_the_rest(split: Split) -> None:
    url = split.predictors["v1"].url
    status, contract = get(f"{url}/v2/models/v1/contract")
    assert (status, contract["version"], contract["feature_service"]) == (200, "v1", "ranker_small")
    _, metadata = get(f"{url}/v2/models/v1")
    named = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
    assert named["user_id"] == "INT64"
    assert {tensor["name"] for tensor in metadata["outputs"]} == {"score_click", "score_long_view"}
    assert get(f"{url}/v2/models/v1/ready") == (200, {"name": "v1", "ready": True})
    assert get(f"{url}/v2/models/other/contract")[0] == 404
    inputs = [{"name": "user_id", "shape": [1], "datatype": "INT64", "data": [7]}]
    status, body = split.predictors["v1"].post("/v2/models/v1/infer", {"inputs": inputs})
    assert status == 400
    assert "is missing" in body["error"]


def test_json_tensors_score_as_binary_ones(split: Split) -> None:
    """By hand, as with curl: a user and two items of whom nothing is known."""
    from hemix.serving.protocol.v2_binary import HEADER_LENGTH, pack, unpack
    from hemix.serving.protocol.v2_tensors import datatype_of
    from hemix.serving.two_roles.contract import Contract

    predictor = split.predictors["v1"]
    _, content = get(f"{predictor.url}/v2/models/v1/contract")
    user, items = Contract.model_validate(content).missing_rows(2)
    tensors: dict[str, np.ndarray] = {}
    for name, column in {**user, **items}.items():
        if isinstance(column, tuple):
            tensors[name], tensors[f"{name}.offsets"] = column
        else:
            tensors[name] = np.nan_to_num(column) if column.dtype == np.float64 else column
    inputs = [
        {"name": n, "shape": [len(v)], "datatype": datatype_of(v), "data": v.tolist()}
        for n, v in tensors.items()
    ]
    status, body = predictor.post("/v2/models/v1/infer", {"inputs": inputs})
    assert status == 200
    by_name = {output["name"]: output["data"] for output in body["outputs"]}
    packed, length = pack(tensors, request_id="r", outputs=["score_click", "tab_index"])
    request = urllib.request.Request(
        f"{predictor.url}/v2/models/v1/infer",
        data=packed,
        headers={"Content-Type": "application/octet-stream", HEADER_LENGTH: str(length)},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        head, outputs = unpack(answer.read(), int(answer.headers[HEADER_LENGTH]), side="outputs")
    assert head["id"] == "r"
    assert outputs["tab_index"].tolist() == [0], "a missing category"
    assert np.array_equal(np.float32(by_name["score_click"]), outputs["score_click"])


def test_the_transformer_counts_what_it_serves(split: Split, workshop: Workshop) -> None:
    users, items = workshop.known()
    sampled = 'hemix_feature_drift_rows{version="v1"}'

    def measured() -> bool:
        for user in users:
            ask(split.transformer, "v1", user, items, context={"tab": 1})
        return split.transformer.metrics().get(sampled, 0) > 0

    until(measured)
    metrics = split.transformer.metrics()
    features = {
        name.split('feature="')[1].split('"')[0]
        for name in metrics
        if name.startswith("hemix_feature_drift_psi{")
    }
    assert "tab_index" in features
    assert "user_id_index" not in features, "ids are what a log brings"
    assert metrics['hemix_feature_age_seconds{view="user_profile"}'] > 86_400
    assert 0 <= metrics['hemix_unknown_share{kind="user"}'] <= 1
    for stage in ("encode", "predict", "total"):
        assert metrics[f'hemix_stage_seconds_count{{stage="{stage}"}}'] > 0


def test_an_event_is_in_the_next_answer_of_a_transformer(
    split: Split, endpoint: Endpoint, workshop: Workshop, tmp_path: Path
) -> None:
    """The predictor has no store of events: what it scores came with the request."""
    (user, *_), items = workshop.known()
    options = transformer_options(endpoint.root, tmp_path, split.file)
    store = ("--events", str(tmp_path / "events.db"))
    with started(tmp_path, *options, *store, log=tmp_path / "transformer.log") as told:
        wait_ready(told)

        def scores(time_ms: int) -> Any:
            answer = ask(told, "v1", user, items, timestamp_ms=time_ms)
            assert answer["flags"] == []
            return answer["scores"]

        before = scores(TIME_MS)
        event = {"user_id": user, "item_id": items[0], "labels": {"click": 1, "long_view": 1}}
        when = {"event_time": TIME_MS - 60_000, "known_at": TIME_MS - 1}
        answer = push_events([{"event_id": "e", **event, **when}], url=told.url)
        assert (answer["accepted"], answer["durable"]) == (1, True)
        assert scores(TIME_MS) != before


def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(split: Split) -> None:
    served = lambda: {  # noqa: E731
        split.transformer.v1({"user_id": u, "item_ids": [1]})[1]["predictions"][0]["version"]
        for u in range(40)
    }
    assert served() == {"v1", "v2"}
    good = split.file.read_text()
    split.file.write_text("predictors: [")
    errors = "hemix_registry_errors_total"
    until(lambda: split.transformer.metrics()[errors] > 0)
    assert served() == {"v1", "v2"}
    split.file.write_text(good.replace("share: 0.3", "share: 0.0"))
    until(lambda: served() == {"v1"})
    split.file.write_text(good)
    until(lambda: served() == {"v1", "v2"})


def test_users_of_a_dead_predictor_are_answered_by_the_champion(
    split: Split, endpoint: Endpoint, workshop: Workshop
) -> None:
    """From here on the challenger's predictor is gone."""
    _, items = workshop.known()
    process = split.predictors["v2"].process
    process.kill()
    process.wait(timeout=30)
    before = split.transformer.metrics()
    for user in users_of(split, "challenger"):
        answer = ask(split.transformer, "v1", user, items, timestamp_ms=TIME_MS)
        assert (answer["variant"], answer["version"]) == ("challenger", "v1")
        assert answer["flags"][-1] == "predictor_unavailable"
        assert len(answer["scores"]["click"]) == len(items)
    for user in users_of(split, "champion"):
        assert "predictor_unavailable" not in ask(split.transformer, "v1", user, items)["flags"]
    after = split.transformer.metrics()
    name = 'hemix_predictor_fallbacks_total{version="v2"}'
    assert after[name] - before.get(name, 0) == 5


def test_without_the_champion_the_answer_is_503_and_names_it(
    split: Split, workshop: Workshop
) -> None:
    """From here on no predictor is left."""
    process = split.predictors["v1"].process
    process.kill()
    process.wait(timeout=30)
    (user,) = users_of(split, "champion", 1)
    status, body = split.transformer.v1({"user_id": user, "item_ids": [1]})
    assert status == 503
    assert f"Predictor v1 at {split.predictors['v1'].url}" in body["error"]
    assert get(f"{split.transformer.url}/v2/health/live")[0] == 200
    assert "Ready: champion v1, challenger v2." in split.transformer.log.read_text()
    split.transformer.process.terminate()
    assert split.transformer.process.wait(timeout=60) == 0
