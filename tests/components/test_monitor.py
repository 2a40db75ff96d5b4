"""The monitor step over logs that serving's own classes wrote."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemix.components.monitor.checks import judged
from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.monitor.step import run
from hemix.errors import DefinitionError, RegistryError
from hemix.features.transform.statistics import Histogram, Statistics
from hemix.serving.experiments.assignment import Assigned
from hemix.serving.exposures.log import Exposure, ExposureLog
from hemix.serving.monitoring.snapshots import Snapshot, SnapshotFiles
from hemix.serving.registry.transitions import RegistryState
from hemix.verdict import Verdict

NOW = round(time.time() * 1000)
HOUR = 3_600_000
POLICY = "drift: {minimum_samples: 100}\ncalibration: {minimum_outcomes: 50}\nunknown: {minimum_requests: 100}\n"


@pytest.fixture
def site(tmp_path: Path, small_transform: Path) -> Path:
    """A registry with v1 as champion, whose training histogram of ``tab`` is known."""
    folder = tmp_path / "registry" / "versions" / "v1" / "transform"
    folder.mkdir(parents=True)
    for name in ("spec.json", "definition.json"):
        (folder / name).write_bytes((small_transform / name).read_bytes())
    tab = Histogram(kind="ids", bins=("2", "3", "4"), counts=(600, 300, 100), missing=0.0)
    Statistics(rows=1000, features={"tab_index": tab}).write(folder / "statistics.json")
    state = RegistryState(champion="v1", salt="s", champions=("v1",), versions={"v1": "champion"})
    (tmp_path / "registry" / "state.json").write_text(state.model_dump_json())
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def snapshot(site: Path, counts: list[int], **changes: Any) -> None:
    """What two pods counted an hour ago; ``counts`` of tab 2, 3, 4 and others."""
    for process in ("a", "b"):
        SnapshotFiles(str(site / "exposures")).write(
            Snapshot(
                **{
                    "time_ms": NOW - HOUR,
                    "process": process,
                    "users": 500,
                    "unknown_users": 50,
                    "items": 5000,
                    "unknown_items": 100,
                    "samples": {"v1": sum(counts)},
                    "features": {"v1": {"tab_index": counts}},
                    "newest": {"user_profile": NOW - 3 * HOUR},
                    **changes,
                }
            )
        )


def log_requests(site: Path, *, predicted: float, positives: int, count: int = 100) -> None:
    """``count`` requests of two items; the first items' outcomes came, ``positives`` of them 1."""
    log = ExposureLog(site / "exposures")
    for number in range(count):
        log.append(
            Exposure(
                request_id=f"r{number}",
                user_id=number,
                request_ms=NOW - HOUR,
                latency_ms=5.0,
                variant="champion",
                version="v1",
                assigned=(Assigned(layer="model", variant="champion", epoch="e"),),
                item_ids=[1, 2],
                scores={"click": np.array([predicted, 0.9], np.float32)},
            )
        )
    log.close()
    (site / "outcomes").mkdir(exist_ok=True)
    with (site / "outcomes" / "outcomes.jsonl").open("w") as file:
        for number in range(count):
            row = {"request_id": f"r{number}", "item_id": 1, "task": "click"}
            file.write(json.dumps({**row, "value": int(number < positives), "time_ms": NOW}) + "\n")


def monitor(site: Path, **changes: Any) -> Verdict:
    return run(
        **{
            "exposures": str(site / "exposures"),
            "outcomes": str(site / "outcomes"),
            "registry": str(site / "registry"),
            "feature_store": str(site / "feature_store"),
            "policy": site / "policy.yaml",
            "out_verdict": site / "verdict.json",
            "out_page": site / "page.html",
            # The exposures carry the time at which they were written, long after NOW perhaps.
            "now_ms": round(time.time() * 1000) + 5 * 60_000,
            **changes,
        }
    )


def test_serving_in_order_passes_and_is_shown(site: Path) -> None:
    snapshot(site, [61, 29, 10, 0])
    log_requests(site, predicted=0.25, positives=25)
    now_ms = round(time.time() * 1000) + 5 * 60_000
    verdict = monitor(site, now_ms=now_ms)
    assert verdict.passed
    assert all(judged(check) for check in verdict.checks)
    assert Verdict.read(site / "verdict.json") == verdict
    found = {check.check: check for check in verdict.checks}
    assert found["calibration, predicted over observed"].value == pytest.approx(1.0)
    assert found["calibration, predicted over observed"].sample_size == 100
    assert found["feature age, hours"].value == pytest.approx(3 + (now_ms - NOW) / HOUR)
    assert found["unknown users, share"].value == 0.1
    assert found["unknown items, share"].value == 0.02
    assert found["feature drift, PSI"].sample_size == 200, "both pods count"
    page = (site / "page.html").read_text()
    assert "In order" in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", ""), "nothing is fetched"


@pytest.mark.parametrize(
    ("counts", "changes", "predicted", "failed"),
    [
        ([10, 10, 80, 0], {}, 0.25, "feature drift, PSI"),
        ([50, 25, 10, 40], {}, 0.25, "feature drift, PSI"),  # values that training never saw
        ([61, 29, 10, 0], {}, 0.5, "calibration, predicted over observed"),
        ([61, 29, 10, 0], {}, 0.1, "calibration, predicted over observed"),
        ([61, 29, 10, 0], {"newest": {"items": NOW - 50 * HOUR}}, 0.25, "feature age, hours"),
        ([61, 29, 10, 0], {"unknown_users": 200}, 0.25, "unknown users, share"),
        ([61, 29, 10, 0], {"unknown_items": 1000}, 0.25, "unknown items, share"),
    ],
)
def test_what_is_out_of_order_fails_by_name(
    site: Path, counts: list[int], changes: dict[str, Any], predicted: float, failed: str
) -> None:
    snapshot(site, counts, **changes)
    log_requests(site, predicted=predicted, positives=25)
    verdict = monitor(site)
    assert not verdict.passed
    assert {check.check for check in verdict.failures} == {failed}
    assert "Train anew" in (site / "page.html").read_text()


def test_too_little_is_not_judged_and_no_reason_to_train(site: Path) -> None:
    snapshot(site, [1, 1, 40, 0], users=20, unknown_users=19, items=40, unknown_items=39)
    log_requests(site, predicted=0.9, positives=1, count=20)
    verdict = monitor(site)
    assert verdict.passed
    open_ = {check.check for check in verdict.checks if not judged(check)}
    assert open_ == {
        "feature drift, PSI",
        "calibration, predicted over observed",
        "unknown users, share",
        "unknown items, share",
    }


def test_no_traffic_at_all_passes(site: Path) -> None:
    verdict = monitor(site)
    assert verdict.passed
    assert not any(judged(check) for check in verdict.checks)


def test_what_lies_before_the_window_does_not_count(site: Path) -> None:
    snapshot(site, [10, 10, 80, 0])
    log_requests(site, predicted=0.9, positives=1)
    verdict = monitor(site, now_ms=NOW + 30 * HOUR)
    assert not any(judged(check) for check in verdict.checks)


def test_counts_of_other_bins_are_left_out(site: Path) -> None:
    snapshot(site, [61, 29, 10, 0])
    snapshot(site, [0, 0, 0, 0, 0, 900], samples={})
    assert monitor(site).passed


def test_published_features_tell_their_age_before_any_traffic(site: Path) -> None:
    store = site / "feature_store"
    store.mkdir()
    as_of = "2022-04-29T00:00:00+00:00"
    content = {"services": {}, "views": {"user_profile_ab12cd34": [as_of, "x"]}}
    (store / "published.json").write_text(json.dumps(content))
    (check,) = monitor(site).failures
    assert (check.check, check.slice) == ("feature age, hours", "user_profile")


def test_a_missing_registry_and_a_wrong_policy_are_said(site: Path) -> None:
    with pytest.raises(RegistryError):
        monitor(site, registry=str(site / "none"))
    (site / "policy.yaml").write_text("calibration: {band: [2, 1]}")
    with pytest.raises(DefinitionError, match=r"calibration: band: 2.0 is above 1.0"):
        monitor(site)
    (site / "policy.yaml").write_text("speed: 1")
    with pytest.raises(DefinitionError, match="speed"):
        monitor(site)
    assert not (site / "verdict.json").exists()


def test_the_default_policy_loads() -> None:
    assert MonitorPolicy.load().calibration.band == (0.8, 1.25)


def test_lost_outcomes_are_said_and_not_judged(site: Path) -> None:
    snapshot(site, [61, 29, 10, 0])
    log_requests(site, predicted=0.5, positives=50)
    path = site / "outcomes" / "outcomes.jsonl"
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps({**row, "item_id": f"i{row['item_id']}"}) + "\n" for row in rows)
    )
    verdict = monitor(site)
    assert verdict.passed, "no reason to train anew"
    (check,) = (c for c in verdict.checks if c.check.startswith("calibration"))
    assert not judged(check)
    assert "100 outcomes of items that were not in their request" in check.note
    assert "Calibration is not judged: 100 of 100 outcomes" in (site / "page.html").read_text()
