"""The running endpoint, over real HTTP and gRPC on loopback."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from hemix.errors import EnvironmentProblem, RequestError
from hemix.serving.client import rank
from hemix.serving.experiments.assignment import assign, variants_of
from hemix.serving.registry.opening import open_registry
from tests.serving.live import TIME_MS, Endpoint, Workshop
from tests.serving.messages.test_request import BAD
from tests.serving.offline import offline_scores

pytestmark = pytest.mark.slow


def ask(endpoint: Endpoint, protocol: str, user: int, items: list[int], **more: Any) -> Any:
    url = endpoint.grpc if protocol == "grpc" else endpoint.url
    return rank(user, items, url=url, protocol=protocol, **more)  # type: ignore[arg-type]


def test_three_protocols_one_answer(endpoint: Endpoint, workshop: Workshop) -> None:
    users, items = workshop.known()
    options = {"context": {"tab": 1}, "request_id": "same", "timestamp_ms": TIME_MS}
    for user in users:
        v1, v2, grpc = (ask(endpoint, p, user, items, **options) for p in ("v1", "v2", "grpc"))
        assert v1 == v2
        scores = grpc.pop("scores")
        for task, values in v1.pop("scores").items():
            assert np.array_equal(np.float32(values), np.float32(scores[task]))
        assert v1 == grpc
        assert v1["flags"] == []
        assert v1["request_id"] == "same"
        assert sorted(v1["ranked_item_ids"]) == sorted(items)


def test_scores_are_those_of_the_offline_path(endpoint: Endpoint, workshop: Workshop) -> None:
    """One row per candidate through ``apply_table`` and ``predict_table``: the slow, obvious way."""
    (user,), items = workshop.known(users=1)
    answer = ask(endpoint, "v1", user, items, context={"tab": 2}, timestamp_ms=TIME_MS)
    model = workshop.model(answer["version"])
    store = endpoint.root / "feature_store"
    expected = offline_scores(model, store, "ranker_small", user, items, context={"tab": 2})
    for task, values in expected.items():
        np.testing.assert_allclose(answer["scores"][task], values, atol=2e-6)
        order = np.argsort(-np.float32(answer["scores"][task]), kind="stable")
        if task == next(iter(expected)):
            assert answer["ranked_item_ids"] == [items[at] for at in order]


def test_a_candidates_score_does_not_depend_on_the_others(
    endpoint: Endpoint, workshop: Workshop
) -> None:
    users, items = workshop.known(users=1, items=30)
    options = {"context": {"tab": 1}, "timestamp_ms": TIME_MS}
    together = ask(endpoint, "v1", users[0], items, **options)["scores"]["click"]
    alone = [
        ask(endpoint, "v1", users[0], [item], **options)["scores"]["click"][0] for item in items[:5]
    ]
    np.testing.assert_allclose(together[:5], alone, atol=2e-6)


def test_users_stick_to_the_variant_that_the_registry_says(
    endpoint: Endpoint, workshop: Workshop
) -> None:
    _, items = workshop.known(items=2)
    state = open_registry(endpoint.root / "registry").state()
    arms = variants_of(state)
    seen = set()
    for user in range(40):
        expected = assign(arms, salt=state.salt, user_id=user)
        for protocol in ("v1", "v2"):
            answer = ask(endpoint, protocol, user, items)
            assert (answer["variant"], answer["version"]) == (expected.name, expected.version)
        seen.add(expected.version)
    assert seen == {"v1", "v2"}, "both versions are live"


def test_unknown_ids_are_served_from_defaults_and_flagged(
    endpoint: Endpoint, workshop: Workshop
) -> None:
    users, items = workshop.known()
    before = endpoint.metrics()
    answer = ask(endpoint, "v1", 999_999_999, [items[0], 888_888_888, items[1]])
    assert answer["flags"] == ["unknown_user", "unknown_items"]
    assert answer["unknown_items"] == [888_888_888]
    assert all(0 < score < 1 for score in answer["scores"]["click"])
    assert ask(endpoint, "grpc", users[0], [888_888_888])["unknown_items"] == [888_888_888]
    after = endpoint.metrics()
    assert after["hemix_unknown_users_total"] - before["hemix_unknown_users_total"] == 1
    assert after["hemix_unknown_items_total"] - before["hemix_unknown_items_total"] == 2


def test_several_requests_in_one_call(endpoint: Endpoint, workshop: Workshop) -> None:
    users, items = workshop.known()
    instances = [{"user_id": u, "item_ids": items, "timestamp_ms": TIME_MS} for u in users]
    status, body = endpoint.v1(*instances)
    assert status == 200
    assert [p["user_id"] for p in body["predictions"]] == users
    alone = ask(endpoint, "v1", users[2], items, timestamp_ms=TIME_MS)
    assert body["predictions"][2]["scores"] == alone["scores"]


CONTEXTS = (
    "page",
    "price",
    "slot",
    "cost",
    "badge",
)  # of the contract's test; this log has them not


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (i, m)
        for i, m in BAD
        if not any(
            name in i.get(part, ()) for part in ("context", "candidates") for name in CONTEXTS
        )
    ],
)
def test_bad_requests_are_400_and_name_the_field(
    endpoint: Endpoint, instance: dict[str, Any], message: str
) -> None:
    status, body = endpoint.v1(instance)
    assert status == 400
    field = message.split(":")[0].replace("\\", "")
    assert body["error"].startswith(f"instances[0].{field}")


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> Any:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


USER, ITEMS = tensor("user_id", "INT64", [7]), tensor("item_ids", "INT64", [1, 2])


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([ITEMS], "user_id"),
        ([USER], "item_ids"),
        ([USER, tensor("item_ids", "INT64", [], [0])], "item_ids"),
        ([USER, tensor("item_ids", "INT64", [1] * 1001)], "item_ids"),
        ([USER, tensor("item_ids", "INT64", [1, 2], [3])], "item_ids"),
        ([USER, tensor("item_ids", "INT64", [1, 2], [-2])], "item_ids"),
        ([USER, tensor("item_ids", "INT64", [1, "x"])], "item_ids[1]"),
        ([USER, tensor("item_ids", "FP64", [1.5])], "item_ids[0]"),
        ([USER, tensor("item_ids", "COMPLEX", [1])], "item_ids"),
        ([tensor("user_id", "BYTES", ["7"]), ITEMS], "user_id"),
        ([tensor("user_id", "INT64", [7, 8]), ITEMS], "user_id"),
        ([USER, USER, ITEMS], "user_id"),
        ([USER, ITEMS, tensor("colour", "INT64", [1])], "colour"),
        ([USER, ITEMS, tensor("context_colour", "INT64", [1])], "context.colour"),
        ([USER, ITEMS, tensor("context_tab", "BYTES", ["1"])], "context.tab"),
        ([USER, {"name": "item_ids", "datatype": "INT64", "shape": [1]}], "inputs.1.data"),
        ("nonsense", "inputs"),
    ],
)
def test_bad_tensors_are_400_and_name_the_tensor(
    endpoint: Endpoint, inputs: Any, field: str
) -> None:
    status, body = endpoint.post("/v2/models/ranker/infer", {"inputs": inputs})
    assert (status, body["error"].split(":")[0]) == (400, field)


def test_nested_tensor_data_is_as_good_as_flat(endpoint: Endpoint) -> None:
    inputs = [USER, tensor("item_ids", "INT64", [[1, 2]], [1, 2])]
    status, body = endpoint.post("/v2/models/ranker/infer", {"inputs": inputs})
    assert status == 200
    assert body["id"], "a request without an id gets one"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"instances": [{"user_id": NaN, "item_ids": [1]}]}', "instances[0].user_id: nan"),
        (b'{"instances": [{"user_id": 7, "item_ids": [1, Infinity]}]}', "item_ids[1]: inf"),
    ],
)
def test_what_is_not_json_is_400(endpoint: Endpoint, body: bytes, text: str) -> None:
    status, answer = endpoint.post("/v1/models/ranker:predict", body)
    assert status == 400
    assert text in answer["error"]
    assert endpoint.post("/v2/models/ranker/infer", body)[0] == 400


@pytest.mark.parametrize(
    ("user", "items", "context", "text"),
    [
        (7, [], {}, "item_ids: 0 candidates"),
        (7, [1] * 1001, {}, "item_ids: 1001 candidates"),
        ("7", [1], {}, "user_id: 7 must be a whole number"),
        (7, [1.5], {}, "item_ids[0]: 1.5 must be"),
        (7, [float("nan")], {}, "item_ids[0]: nan must be"),
        (7, [1], {"tab": "x"}, "context.tab: x must be"),
        (7, [1], {"colour": 1}, "context.colour: no such"),
    ],
)
def test_grpc_says_invalid_argument(
    endpoint: Endpoint, user: Any, items: Any, context: dict[str, Any], text: str
) -> None:
    with pytest.raises(RequestError) as caught:
        ask(endpoint, "grpc", user, items, context=context)
    assert "INVALID_ARGUMENT" in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize("size", [1_200_000, 60_000_000])
def test_a_huge_body_is_413_and_costs_no_memory(endpoint: Endpoint, size: int) -> None:
    import psutil

    process = psutil.Process(endpoint.process.pid)
    before = process.memory_info().rss
    for path in ("/v1/models/ranker:predict", "/v2/models/ranker/infer"):
        status, body = endpoint.post(path, b'{"instances": "' + b"x" * size + b'"}')
        assert status == 413
        assert body["error"].startswith("body: is larger than 1000000 bytes; send fewer ")
    assert process.memory_info().rss - before < 30e6


def test_a_huge_grpc_message_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(RequestError, match="RESOURCE_EXHAUSTED"):
        ask(endpoint, "grpc", 7, [2**60] * 150_000)


def test_nobody_unloads_the_model_from_outside(endpoint: Endpoint) -> None:
    for verb in ("load", "unload"):
        status, _ = endpoint.post(f"/v2/repository/models/ranker/{verb}", {})
        assert status == 501
    assert endpoint.v1({"user_id": 7, "item_ids": [1]})[0] == 200


def test_another_model_is_404_and_the_metadata_names_the_tensors(endpoint: Endpoint) -> None:
    import urllib.request

    assert endpoint.post("/v1/models/other:predict", {"instances": []})[0] == 404
    with urllib.request.urlopen(f"{endpoint.url}/v2/models/ranker", timeout=10) as answer:
        metadata = json.load(answer)
    names = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
    assert names["user_id"] == "INT64"
    assert names["context_tab"] == "INT64"
    assert "score_click" in {tensor["name"] for tensor in metadata["outputs"]}


def test_metrics_name_stages_variants_and_versions(endpoint: Endpoint) -> None:
    endpoint.v1({"user_id": 7, "item_ids": [1]})
    endpoint.v1({"user_id": "x", "item_ids": [1]})
    metrics = endpoint.metrics()
    for stage in ("validate", "features", "assemble", "transform", "score", "post", "total"):
        assert metrics[f'hemix_stage_seconds_count{{stage="{stage}"}}'] > 0
    assert metrics['hemix_version_share{variant="champion",version="v1"}'] == pytest.approx(0.7)
    assert metrics['hemix_version_share{variant="challenger",version="v2"}'] == pytest.approx(0.3)
    assert metrics['hemix_requests_total{status="400",variant="",version=""}'] > 0
    assert any(name.startswith('hemix_requests_total{status="200"') for name in metrics)


def test_eight_clients_at_once_get_their_own_answers(
    endpoint: Endpoint, workshop: Workshop
) -> None:
    users, items = workshop.known(users=8, items=10)
    expected = {u: ask(endpoint, "v1", u, items, timestamp_ms=TIME_MS)["scores"] for u in users}
    wrong: list[int] = []

    def client(user: int) -> None:
        for _ in range(5):
            answer = ask(endpoint, "v1", user, items, timestamp_ms=TIME_MS)
            if answer["user_id"] != user or answer["scores"] != expected[user]:
                wrong.append(user)

    threads = [threading.Thread(target=client, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_client_says_when_no_one_answers() -> None:
    for protocol, url in (("v1", "http://127.0.0.1:9"), ("grpc", "127.0.0.1:9")):
        with pytest.raises(EnvironmentProblem, match="hemix serve"):
            rank(1, [1], url=url, protocol=protocol, timeout_s=3)  # type: ignore[arg-type]
