from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.serving import drive, requests, scrape, stages
from hemix.errors import EnvironmentProblem
from tests.serving.live import Endpoint


def test_the_stages_are_means_of_the_difference() -> None:
    name = 'hemix_stage_seconds_{}{{stage="score"}}'
    before = {name.format("sum"): 1.0, name.format("count"): 10.0}
    after = {name.format("sum"): 1.5, name.format("count"): 110.0}
    assert stages(before, after) == {"score": 5.0}
    assert stages(after, after) == {}


def test_a_store_without_profiles_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="hemix run"):
        requests(tmp_path, 10)


@pytest.mark.slow
def test_clients_drive_a_running_endpoint(endpoint: Endpoint) -> None:
    bodies = requests(endpoint.root / "feature_store", 20)
    assert all(len(json.loads(b)["instances"][0]["item_ids"]) == 20 for b in bodies)
    before = scrape(endpoint.url)
    latencies = drive(endpoint.url, bodies, clients=2, seconds=0.5)
    assert len(latencies) >= 2
    assert set(stages(before, scrape(endpoint.url))) >= {"features", "transform", "score"}
    with pytest.raises(EnvironmentProblem, match="400"):
        drive(endpoint.url, [b'{"instances": []}'], clients=1, seconds=0.5)
