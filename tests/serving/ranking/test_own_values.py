"""A hotel log from file to answer: price and slot are each candidate's own, the slot is served at 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import hemix
from hemix.components.evaluate import step as evaluate
from hemix.components.evaluate.results import (
    AS_LOGGED,
    CANDIDATE,
    CHAMPION,
    PREDICTIONS_FILE,
    Results,
)
from hemix.components.ingest import step as ingest
from hemix.components.transform import step as transform
from hemix.components.validate_data.frames import read_table
from hemix.components.validate_data.requests import request_checks
from hemix.errors import DataError, RequestError
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.as_of import build_state
from hemix.features.examples.build import build as build_examples
from hemix.features.examples.log import read_types
from hemix.features.store.parity.gate import Known, gate
from hemix.features.store.parity.probes import choose_probes, true_examples
from hemix.features.store.repository import build_repository
from hemix.features.transform import TransformGraph
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.version import write
from hemix.pipelines.local.check import look
from hemix.serving.client import to_v2
from hemix.serving.exposures.log import ExposureLog
from hemix.serving.protocol.ranking_tensors import instance_of
from hemix.serving.protocol.v2_tensors import TensorRequest, objects
from hemix.serving.ranking.loaded_version import LoadedVersion, load_version
from hemix.serving.ranking.loading import Loader
from hemix.serving.ranking.pool import VersionPool
from hemix.serving.ranking.service import LocalRanker
from hemix.serving.registry.transitions import RegistryState
from hemix.serving.two_roles.contract import Contract
from hemix.serving.two_roles.remote_ranker import encode
from hemix.spec import FeatureSpec
from tests.serving.ranking.hotel_log import DEFINITION, write_log


@dataclass(frozen=True, kw_only=True)
class Hotels:
    """The artifacts of the log, with an untrained version ``v1`` that reads everything."""

    root: Path
    definition: DatasetDefinition

    def ranker(self, exposures: ExposureLog | None = None) -> LocalRanker:
        version = load_version(
            self.root / "v1", store=str(self.root / "store"), timeout_s=30.0, item_cache_s=60.0
        )
        state = RegistryState(champion="v1", salt="s", versions={"v1": "champion"})
        named = type("Named", (), {"state": lambda _: state})()
        loader: Loader[LoadedVersion] = Loader(lambda _: version, files=lambda _: 0)
        return LocalRanker(VersionPool(named, loader), exposures)


@pytest.fixture(scope="module")
def hotels(tmp_path_factory: pytest.TempPathFactory) -> Hotels:
    root = tmp_path_factory.mktemp("hotels")
    write_log(root)
    definition = DatasetDefinition.parse({**DEFINITION, "root": str(root)})
    ingest.run(definition=definition, out_events=root / "events")
    build_examples(definition, root / "events", root / "examples")
    transform.run(
        definition=definition,
        examples=root / "examples",
        out_transformed=root / "transformed",
        out_transform=root / "transform",
    )
    build_state(definition, root / "events", definition.split.train.end, root / "state")
    types = read_types(root / "events")
    build_repository(
        definition,
        types,
        root / "events",
        root / "state",
        definition.split.train.end,
        "ranker_hotels",
        root / "store",
        online_store="sqlite",
    )
    torch.manual_seed(0)
    recipe = recipe_of("tiny")
    write(
        root / "v1",
        ranker=build(
            recipe.ranker, FeatureSpec.read(root / "transform" / "spec.json"), recipe.model
        ),
        recipe=recipe,
        transform=root / "transform",
        version="v1",
        feature_service="ranker_hotels",
        training_window={"start": "2024-03-01", "end": "2024-03-03"},
        metrics={},
    )
    return Hotels(root=root, definition=definition)


def test_the_model_takes_own_values_with_the_items(hotels: Hotels) -> None:
    spec = FeatureSpec.read(hotels.root / "transform" / "spec.json")
    sides = {f.name: f.side for f in (*spec.categorical, *spec.numeric)}
    own = ("slot_index", "price_scaled", "price_rank_in_request_scaled")
    assert {sides[name] for name in own} == {"item"}
    assert sides["device_index"] == "context"


def test_what_is_served_equals_the_examples(hotels: Hotels) -> None:
    definition, root = hotels.definition, hotels.root
    types = read_types(root / "events")
    probes = choose_probes(
        definition,
        types,
        events=root / "events",
        state=root / "state",
        as_of=definition.split.train.end,
        users=12,
        items_a_user=4,
        unknown=2,
    )
    assert any(own["price"] != own["price"][:1] * 4 for own in probes.candidates)
    examples = true_examples(
        definition, types, events=root / "events", probes=probes, work=root / "truth"
    )
    ranks = examples["price_rank_in_request"].to_pylist()
    assert max(ranks) > 1, "rows of one request are together"
    verdict = gate(
        root / "store",
        "ranker_hotels",
        TransformGraph.load(root / "transform"),
        probes,
        examples,
        known=Known(users=12, items=10),
    )
    assert verdict.failures == ()


def test_predict_makes_the_statistics_of_each_request(hotels: Hotels) -> None:
    version = hemix.load_version(hotels.root / "v1")
    (file, *_) = sorted((hotels.root / "examples").glob("day=2024-03-03/*.parquet"))
    rows = pl.read_parquet(file, hive_partitioning=False)
    made = list(hotels.definition.within_request_columns)
    assert set(made) <= set(version.columns)
    expected = version.predict(rows)
    assert version.predict(rows.drop(made)).equals(expected)
    assert version.predict(rows.drop([*made, "request_id"])).equals(expected)
    with pytest.raises(DataError, match="does not say which rows are of one request"):
        version.predict(rows.drop([*made, "request_id", "event_time"]))


@pytest.fixture(scope="module")
def ranker(hotels: Hotels) -> Iterator[tuple[LocalRanker, Path]]:
    log = ExposureLog(hotels.root / "exposures", flush_s=0.01)
    yield hotels.ranker(log), hotels.root / "exposures"
    log.close()


def asked(ranker: LocalRanker, hotels: Hotels, **changes: Any) -> Any:
    time_ms = round((hotels.definition.split.train.end + timedelta(hours=1)).timestamp() * 1000)
    instance = {
        "user_id": 3,
        "item_ids": ["h1", "h2", "h3"],
        "context": {"device": "phone"},
        "candidates": {"price": [80.5, None, 50], "slot": [1, 1, 1]},
        "timestamp_ms": time_ms,
        **changes,
    }
    prepared, scores = ranker.score(ranker.prepare(ranker.validate_one(instance)))
    return ranker.finish(prepared, scores)


def test_scores_do_not_know_the_slot_and_the_log_keeps_it(
    ranker: tuple[LocalRanker, Path], hotels: Hotels
) -> None:
    ranks, folder = ranker
    first = asked(ranks, hotels)
    prices = {"price": [80.5, None, 50]}
    other = asked(ranks, hotels, candidates={**prices, "slot": [4, None, 2]}, request_id="fourth")
    np.testing.assert_array_equal(first.scores["book"], other.scores["book"])
    assert first.flags == other.flags == asked(ranks, hotels, candidates=prices).flags == ()
    dearer = asked(ranks, hotels, candidates={"price": [50, None, 80.5]})
    assert not np.array_equal(first.scores["book"], dearer.scores["book"])
    absent = asked(ranks, hotels, candidates={})
    assert absent.flags == ("default_price",)
    ranks._exposures.close()  # type: ignore[union-attr]
    (file,) = folder.glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    (fourth,) = (line for line in lines if line["request_id"] == "fourth")
    assert fourth["candidates"] == {"price": [80.5, None, 50.0], "slot": [4, None, 2]}
    assert fourth["context"] == {"device": "phone"}


def test_the_order_of_candidates_moves_no_score(
    ranker: tuple[LocalRanker, Path], hotels: Hotels
) -> None:
    one = asked(ranker[0], hotels)
    turned = asked(
        ranker[0],
        hotels,
        item_ids=["h3", "h1", "h2"],
        candidates={"price": [50, 80.5, None]},
    )
    # A matrix product rounds a row by its place among the rows: one place of float32 at most.
    np.testing.assert_array_max_ulp(one.scores["book"][[2, 0, 1]], turned.scores["book"], maxulp=4)


def test_tensors_say_the_same(ranker: tuple[LocalRanker, Path], hotels: Hotels) -> None:
    tensors = {
        "user_id": np.array([3]),
        "item_ids": objects(["h1", "h2", "h3"]),
        "context_device": objects(["phone"]),
        "candidate_price": np.array([80.5, np.nan, 50]),
        "candidate_slot": np.array([4, -(2**63), 2]),
    }
    request = TensorRequest(request_id="", tensors=tensors, wanted=(), binary=False, shapes={})
    instance = instance_of(request)
    assert instance["candidates"] == {"price": [80.5, None, 50.0], "slot": [4, None, 2]}
    found = ranker[0].validate_one(instance)
    assert found.candidates == instance["candidates"]
    body = to_v2({"user_id": 3, "item_ids": ["h1", "h2", "h3"], **instance})
    sent = {tensor["name"]: (tensor["datatype"], tensor["data"]) for tensor in body["inputs"]}
    assert sent["candidate_slot"] == ("INT64", [4, -(2**63), 2])
    assert sent["candidate_price"][0] == "FP64"
    np.testing.assert_array_equal(sent["candidate_price"][1], [80.5, np.nan, 50])
    with pytest.raises(RequestError, match=r"candidates\.price: texts and numbers in one list"):
        to_v2({"user_id": 3, "item_ids": ["h1", "h2"], "candidates": {"price": [1, "x"]}})


def test_a_predictor_is_sent_the_values_of_each(
    ranker: tuple[LocalRanker, Path], hotels: Hotels
) -> None:
    from hemix.serving.protocol.kserving import import_kserve

    import_kserve()
    from hemix.features.store.assemble import RequestColumns
    from hemix.serving.protocol.v2_binary import unpack
    from hemix.serving.two_roles.predictor_model import columns_of

    version: LoadedVersion = ranker[0].pool.live.champion
    request = ranker[0].validate_one(
        {"user_id": 3, "item_ids": ["h1", "h2"], "candidates": {"price": [9, 2.5], "slot": [3, 4]}}
    )
    raw = version.assemble(*version.read(request), request, 1_709_424_000_000)
    assert np.asarray(raw.items["slot"]).tolist() == [1, 1]
    contract = Contract.of(hotels.root / "v1")
    message = encode(contract, raw)
    _, tensors = unpack(message.body, message.json_length, side="inputs")
    user, items = columns_of(contract, tensors)
    assert items["price"].tolist() == [9.0, 2.5]
    here = version.score(version.encode(raw))["book"]
    there = version.score(version.model.transform(RequestColumns(user=user, items=items)))["book"]
    np.testing.assert_array_equal(here, there)


def test_evaluation_reports_both_ways(hotels: Hotels) -> None:
    import hemix

    root = hotels.root
    evaluate.run(
        definition=hotels.definition,
        model=root / "v1",
        events=root / "events",
        examples=root / "examples",
        transformed=root / "transformed",
        champion=root / "v1",
        out_evaluation=root / "evaluation",
    )
    results = Results.read(root / "evaluation")
    assert results.model(AS_LOGGED) is not None
    gap = results.tasks["book"].differences[CHAMPION]["auc"].value
    assert gap == pytest.approx(0, abs=1e-6)
    found = pl.read_parquet(root / "evaluation" / PREDICTIONS_FILE)
    candidate, champion, logged = (
        found[f"p_{name}_book"].to_numpy() for name in (CANDIDATE, "champion", AS_LOGGED)
    )
    np.testing.assert_array_equal(candidate, champion)
    assert (candidate != logged).mean() > 0.5
    rows = pl.read_parquet(list((root / "examples").rglob("*.parquet")), hive_partitioning=False)
    rows = rows.filter(pl.col("event_time") >= hotels.definition.split.test.start)
    version = hemix.load_version(root / "v1")
    assert np.array_equal(version.predict(rows)["book"].to_numpy(), candidate)
    assert np.array_equal(version.predict(rows, as_served=False)["book"].to_numpy(), logged)
    log = pl.read_parquet(list((root / "examples").rglob("*.parquet")), hive_partitioning=False)
    shared = of_one_state(hotels.definition, rows, log)
    for name in (CANDIDATE, "champion"):
        mine = found[f"p_one_user_{name}_book"].to_numpy()
        assert np.array_equal(version.predict(shared)["book"].to_numpy(), mine)
    assert (mine != candidate).mean() > 0.5
    assert "p_one_request_candidate_book" not in found.columns, "a search is at one instant"


def of_one_state(
    definition: DatasetDefinition, rows: pl.DataFrame, log: pl.DataFrame
) -> pl.DataFrame:
    """The rows with the state of their user's first, one at a time."""
    (match,) = definition.matches
    sequences = ("global", "realtime")
    mine = [name for name in rows.columns if definition.side_of(name) == "user"]
    mine += [name for name in rows.columns if name.startswith(tuple(f"{s}_" for s in sequences))]
    mine = [name for name in mine if name not in definition.match_columns]
    made = []
    for row in rows.iter_rows(named=True):
        first = (
            rows.filter(pl.col("user_id") == row["user_id"]).sort("event_time").row(0, named=True)
        )
        before = log.filter(pl.col("event_time") < first["event_time"])
        pair = (pl.col("user_id") == row["user_id"]) & (pl.col("item_id") == row["item_id"])
        row |= {name: first[name] for name in mine}
        row["user_item_impression_ever"] = before.filter(pair).height
        for sequence in sequences:
            events = first[f"{sequence}_item_id"]
            gaps = [
                gap
                for gap, item in zip(first[f"{sequence}_gap_s"], events, strict=True)
                if item == row["item_id"]
            ]
            row[match.count(sequence)] = len(gaps)
            row[match.since(sequence)] = gaps[-1] if gaps else -1
        made.append(row)
    for row in made:
        peers = [
            r["user_item_impression_ever"] for r in made if r["request_id"] == row["request_id"]
        ]
        rank = 1.0 + sum(count < row["user_item_impression_ever"] for count in peers)
        row["user_item_impression_ever_rank_in_request"] = rank
    return pl.DataFrame(made, schema=rows.schema)


def test_a_field_of_the_request_that_varies_within_one_is_told(hotels: Hotels) -> None:
    interactions = read_table(hotels.root / "events", "interactions")
    assert all(check.passed for check in request_checks(hotels.definition, interactions))
    careless = hotels.definition.model_dump(mode="json")
    careless["numeric"] = [{"name": "stars"}, {"name": "price"}]
    careless["within_request"] = []
    checks = request_checks(DatasetDefinition.parse(careless), interactions)
    (doubt,) = (d for d in look(DatasetDefinition.parse(careless)).doubts if "price" in d)
    assert doubt.startswith("interactions.price: requests with one value are")
    assert "write per: candidate" in doubt
    (failed,) = (check for check in checks if not check.passed)
    assert failed.check == "interactions.price: requests with one value"
    assert failed.value is not None
    assert failed.value < 0.1
    assert "'s0' has" in failed.note
    assert "write per: candidate" in failed.note
