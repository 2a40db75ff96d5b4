"""The replay over the small run: its traffic, and the whole of it through a real endpoint."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from hemix.errors import RegistryError
from hemix.features.definition import DatasetDefinition
from hemix.models.versions.version import read_manifest
from hemix.pipelines.demo.replay.experiment import own_registry, policy_text
from hemix.pipelines.demo.replay.running import ReplayOptions, replay
from hemix.pipelines.demo.replay.traffic import read_traffic
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord, StepRecord
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.registry.opening import open_registry
from tests.serving.experiments.logged import registry_state, write_manifest
from tests.serving.live import Endpoint


def test_the_traffic_is_the_logs_own(
    small_events: Path, small_definition: DatasetDefinition
) -> None:
    traffic = read_traffic(small_definition, small_events, prefix="p")
    window = small_definition.split.test
    log = pl.read_parquet(
        small_events / "interactions" / "**" / "*.parquet", hive_partitioning=False
    ).filter(pl.col("event_time").is_between(window.start, window.end, closed="left"))
    assert traffic.outcomes.height == 2 * log.height
    clicks = traffic.outcomes.filter(pl.col("task") == "click")["value"].sum()
    assert clicks == log["label_click"].sum()
    assert traffic.requests["timestamp_ms"].is_sorted()
    assert traffic.requests["request_id"].is_unique().all()
    days = log.select(
        "user_id", ((pl.col("event_time") - window.start).dt.total_days()).alias("day")
    ).unique()
    assert traffic.requests.height == days.height
    shown = traffic.requests.explode("item_ids").select("request_id", item_id="item_ids")
    assert shown.is_unique().all()
    kept = traffic.outcomes.join(shown, on=["request_id", "item_id"], how="semi")
    assert kept.height == traffic.outcomes.height
    first = traffic.outcomes.group_by("request_id").agg(pl.col("time_ms").min())
    both = traffic.requests.join(first, on="request_id")
    assert (both["timestamp_ms"] == both["time_ms"]).all()


def test_what_is_known_of_a_user_is_from_before_the_window(
    small_events: Path, small_definition: DatasetDefinition
) -> None:
    traffic = read_traffic(small_definition, small_events, prefix="p", users=20)
    assert traffic.requests["user_id"].n_unique() == 20
    log = pl.read_parquet(
        small_events / "interactions" / "**" / "*.parquet", hive_partitioning=False
    ).filter(pl.col("event_time") < small_definition.split.test.start)
    row = traffic.known.sort("volume").row(-1, named=True)
    own = log.filter(pl.col("user_id") == row["user_id"])
    assert row["volume"] == pytest.approx(math.log1p(own.height))
    assert row["rate_click"] == pytest.approx((own["label_click"].sum() + 1) / (own.height + 3))


def test_the_policy_names_every_task(small_definition: DatasetDefinition) -> None:
    policy = ExperimentPolicy.parse(policy_text(small_definition, 30_000))
    assert [m.name for m in policy.metrics] == ["click_auc", "long_view_auc", "click_ndcg"]
    assert policy.horizon == 3_000
    assert set(policy.guardrails.calibration) == {"click", "long_view"}


def test_the_replays_registry_is_its_own(tmp_path: Path) -> None:
    run, own = tmp_path / "run", tmp_path / "own"
    for version in ("v1", "v2"):
        write_manifest(run / "registry" / "versions" / version)
    (run / "registry" / "state.json").write_text(registry_state(share=0.1).model_dump_json())
    before = open_registry(str(run / "registry")).state()
    for _ in range(2):  # a replay that goes on makes the same one
        made = open_registry(str(own_registry(RunFolder(run), own, share=0.5))).state()
        assert made.shares == {"v1": 0.5, "v2": 0.5}
        assert made.salt == before.salt
        assert read_manifest(own / "versions" / "v2").version == "v2"
    assert open_registry(str(run / "registry")).state() == before


def test_without_a_challenger_there_is_nothing_to_replay(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no challenger"):
        own_registry(RunFolder(tmp_path), tmp_path / "own", share=0.5)


def test_a_replay_goes_through_a_real_endpoint_and_goes_on_where_it_stopped(
    endpoint: Endpoint,
    small_events: Path,
    small_definition: DatasetDefinition,
    tmp_path: Path,
) -> None:
    root = tmp_path / "run"
    root.mkdir()
    (root / "registry").symlink_to(endpoint.root / "registry")
    ingest = StepRecord(name="ingest", status="succeeded", artifacts={"events": str(small_events)})
    RunRecord(
        version="v2",
        status="succeeded",
        started="2022-05-01T00:00:00+00:00",
        parameters={"definition": small_definition.to_json()},
        steps=[ingest],
    ).write(root / "run.json")
    options = ReplayOptions(
        folder=RunFolder(root),
        share=0.5,
        layer="model",
        users=60,
        clients=2,
        url=endpoint.url,
        exposures=str(endpoint.root / "exposures"),
        policy=None,
    )
    out = io.StringIO()
    first = replay(options, Console(file=out))
    total = read_traffic(small_definition, small_events, prefix="x", users=60).requests.height
    assert (first.sent.answered, first.sent.refused, first.sent.lost) == (total, 0, 0)
    # The endpoint writes within a second of its answer.
    record = root / "replay" / "experiment-model.json"
    again = _until(lambda: replay(options, Console(file=out)).sent.answered == 0)
    assert again
    analysis = json.loads(record.read_text())["analysis"]
    assert analysis["counts"]["requests"] >= total
    assert analysis["counts"]["repeated"] <= total
    assert {arm["name"] for arm in analysis["arms"]} == {"champion", "challenger"}
    primary = analysis["comparisons"][0]["metrics"][0]
    assert primary["metric"]["name"] == "click_auc"
    assert 0.2 < primary["control"] < 0.8  # untrained versions
    assert first.decision.verdict in ("continue", "roll_back")
    text = first.page.read_text()
    assert "What it cannot show" in text
    assert not first.decision.applied


def _until(holds, attempts: int = 5) -> bool:  # type: ignore[no-untyped-def]
    import time

    for _ in range(attempts):
        if holds():
            return True
        time.sleep(1.0)
    return False
