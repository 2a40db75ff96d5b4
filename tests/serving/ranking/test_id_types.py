"""A log whose users have numbers for ids and whose items have text, through the endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import torch

from hemix.components.build_examples import step as build_examples
from hemix.components.deploy import step as deploy
from hemix.components.ingest import step as ingest
from hemix.components.transform import step as transform
from hemix.errors import RequestError
from hemix.features.examples.as_of import build_state
from hemix.features.schema import ColumnTypes
from hemix.features.store.repository import build_repository
from hemix.files import read_json
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.version import write
from hemix.serving.client import Protocol, rank
from hemix.spec import FeatureSpec
from hemix.verdict import Check, Verdict
from tests.logs import write_log
from tests.serving.live import Endpoint, start_endpoint

pytestmark = pytest.mark.slow

AS_OF = datetime(2024, 3, 3, tzinfo=UTC)
KNOWN, UNKNOWN = ["p1", "p2", "p29"], "p999"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint over the made-up shop: integer customers, text products."""
    root = tmp_path_factory.mktemp("shop")
    definition = write_log(root / "log")
    events, examples, graph = root / "events", root / "examples", root / "transform"
    ingest.run(definition=definition, out_events=events)
    build_examples.run(definition=definition, events=events, out_examples=examples)
    transform.run(
        definition=definition,
        examples=examples,
        out_transformed=root / "transformed",
        out_transform=graph,
    )
    types = ColumnTypes.from_json(read_json(events / "types.json"))
    build_state(definition, events, AS_OF, root / "state")
    build_repository(
        definition, types, events, root / "state", AS_OF, "ranker_shop", root / "repository"
    )
    torch.manual_seed(0)
    chosen = recipe_of("tiny")
    write(
        root / "model",
        ranker=build(chosen.ranker, FeatureSpec.read(graph / "spec.json"), chosen.model),
        recipe=chosen,
        transform=graph,
        version="v1",
        feature_service="ranker_shop",
        training_window={"start": "2024-03-01", "end": "2024-03-03"},
        metrics={},
    )
    verdict = Verdict.of("validate_model", [Check.of("auc", 1.0, 0.5, "at_least")])
    verdict.write(root / "passed.json")
    deploy.run(
        model=root / "model",
        verdict=root / "passed.json",
        repository=root / "repository",
        registry=root / "registry",
        feature_store=root / "feature_store",
        share=0.1,
        out_deployment=root / "deployment.json",
    )
    with start_endpoint(root) as running:
        yield running


def url_of(endpoint: Endpoint, protocol: Protocol) -> str:
    return endpoint.grpc if protocol == "grpc" else endpoint.url


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc"])
def test_each_side_keeps_the_type_of_its_ids(shop: Endpoint, protocol: Protocol) -> None:
    answer = rank(
        3,
        [*KNOWN, UNKNOWN],
        context={"device": "phone"},
        timestamp_ms=1_709_500_000_000,
        url=url_of(shop, protocol),
        protocol=protocol,
    )
    assert answer["user_id"] == 3
    assert answer["item_ids"] == [*KNOWN, UNKNOWN]
    assert sorted(answer["ranked_item_ids"]) == sorted([*KNOWN, UNKNOWN])
    assert answer["unknown_items"] == [UNKNOWN]
    assert answer["flags"] == ["unknown_items"]
    assert len(set(answer["scores"]["buy"])) > 1


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc"])
@pytest.mark.parametrize(
    ("user", "items", "field"), [("3", KNOWN, "user_id"), (3, [1, 2], "item_ids")]
)
def test_an_id_of_the_other_side_s_type_is_refused(
    shop: Endpoint, protocol: Protocol, user: int | str, items: list[int | str], field: str
) -> None:
    with pytest.raises(RequestError, match=field):
        rank(user, items, url=url_of(shop, protocol), protocol=protocol)
