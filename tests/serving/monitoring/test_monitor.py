from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import DataError
from hemix.features.transform.statistics import REST, Histogram, psi
from hemix.serving.messages.answer import RankingAnswer
from hemix.serving.metrics import (
    CALIBRATION_PCOC,
    DRIFT_PSI,
    DRIFT_ROWS,
    FEATURE_AGE,
    MONITOR_DROPPED,
    UNKNOWN_SHARE,
)
from hemix.serving.monitoring.calibration import Calibration, OutcomeFiles
from hemix.serving.monitoring.drift import FeatureBins
from hemix.serving.monitoring.monitor import Monitor, MonitorConfig
from hemix.serving.monitoring.snapshots import read_snapshots
from hemix.serving.monitoring.windows import SlidingSums


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bins(counts: dict[str, int], size: int) -> FeatureBins:
    """One feature ``tab_index`` whose training had these counts; ids up to ``size``."""
    histogram = Histogram(
        kind="ids", bins=tuple(counts), counts=tuple(counts.values()), missing=0.0
    )
    ids = [name for name in counts if name != REST]
    rest = list(counts).index(REST) if REST in counts else len(counts)
    of = np.array([list(counts).index(str(i)) if str(i) in ids else rest for i in range(size)])
    return FeatureBins(
        training={"tab_index": histogram},
        columns={"tab_index": "tab_index"},
        bin_of={"tab_index": of},
    )


def answer(
    number: int = 0,
    *,
    flags: tuple[str, ...] = (),
    unknown: int = 0,
    variant: str = "champion",
    click: float = 0.25,
) -> RankingAnswer:
    return RankingAnswer(
        request_id=f"r{number}",
        user_id=number,
        version="v1",
        variant=variant,
        item_ids=[1, 2, 3, 4],
        scores={"click": np.full(4, click, np.float32)},
        flags=flags,
        unknown_items=[1, 2, 3, 4][:unknown],
    )


def gauge(metric: object, *labels: str) -> float:
    value: float = metric.labels(*labels)._value.get()  # type: ignore[attr-defined]
    return value


def test_sums_slide_slot_by_slot() -> None:
    clock = Clock()
    sums = SlidingSums(slots=3, slot_s=10, clock=clock)
    for value in (1, 2, 4, 8):
        sums.add("x", [value])
        clock.now += 10
    clock.now -= 10
    assert sums.totals()["x"].tolist() == [2 + 4 + 8]
    clock.now += 10
    assert sums.totals()["x"].tolist() == [4 + 8]
    clock.now += 1000
    assert sums.totals() == {}


@given(
    training=st.lists(st.integers(0, 50), min_size=3, max_size=8),
    served=st.lists(st.integers(0, 11), max_size=60),
)
def test_counted_psi_is_that_of_the_whole_histogram(training: list[int], served: list[int]) -> None:
    """Against the transform's own ``psi`` over a histogram of every id that was served."""
    counts = {**{str(i): n for i, n in enumerate(training)}, REST: 5}
    found = bins(counts, 12)
    columns = {"tab_index": np.array(served, dtype=np.int32)}
    value = found.psi(found.count(columns))["tab_index"]
    ids = {str(i): served.count(i) for i in range(len(training))}
    ids[REST] = sum(i >= len(training) for i in served)
    whole = Histogram(kind="ids", bins=tuple(ids), counts=tuple(ids.values()), missing=0.0)
    assert value == pytest.approx(psi(found.training["tab_index"], whole))


def test_drift_rises_when_what_is_served_moves_and_falls_out_of_the_window() -> None:
    clock = Clock()
    config = MonitorConfig(slots=2, slot_s=60, publish_s=0)
    monitor = Monitor(config, clock=clock)
    found = bins({"1": 500, "2": 300, "3": 200}, 4)
    same = np.repeat([1, 2, 3], [50, 30, 20])
    monitor.sample("v1", found, {"tab_index": same})
    monitor.step()
    assert gauge(DRIFT_PSI, "v1", "tab_index") < 0.02
    assert gauge(DRIFT_ROWS, "v1") == 1
    clock.now += 60
    monitor.sample("v1", found, {"tab_index": np.repeat([1, 2, 3], [5, 5, 900])})
    monitor.step()
    assert gauge(DRIFT_PSI, "v1", "tab_index") > 0.25
    clock.now += 600
    monitor.step()
    shown = [sample.labels for metric in DRIFT_PSI.collect() for sample in metric.samples]
    assert {"version": "v1", "feature": "tab_index"} not in shown, "nothing was served lately"


def test_unknown_shares_leave_out_requests_whose_store_was_down() -> None:
    monitor = Monitor(MonitorConfig(publish_s=0), clock=Clock())
    monitor.answered(answer(1))
    monitor.answered(answer(2, flags=("unknown_user", "unknown_items"), unknown=2))
    monitor.answered(answer(3, flags=("features_unavailable",)))
    monitor.step()
    assert gauge(UNKNOWN_SHARE, "user") == 0.5
    assert gauge(UNKNOWN_SHARE, "item") == 2 / 8


def test_the_age_of_a_view_grows_without_requests() -> None:
    import time

    at = time.time() - 3600
    Monitor(MonitorConfig(publish_s=0), newest=lambda: {"user_profile": at}, clock=Clock()).step()
    assert gauge(FEATURE_AGE, "user_profile") == pytest.approx(3600, abs=30)


def test_samples_are_bounded_a_second_and_the_queue_never_grows_without_end() -> None:
    clock = Clock()
    monitor = Monitor(MonitorConfig(samples_per_s=4), clock=clock)
    wanted = 0
    for _ in range(1000):
        wanted += monitor.wants()
        clock.now += 0.001
    assert 3 <= wanted <= 5
    before = MONITOR_DROPPED._value.get()
    for number in range(10_100):
        monitor.answered(answer(number))
    assert MONITOR_DROPPED._value.get() - before == 100


def test_calibration_joins_by_request_item_and_task() -> None:
    clock = Clock()
    calibration = Calibration(clock=clock)
    for number in range(10):
        variant = "challenger" if number % 2 else "champion"
        calibration.remember(answer(number, variant=variant, click=0.5 if number % 2 else 0.25))
    for number in range(10):
        for item in (1, 2):
            assert calibration.outcome(f"r{number}", str(item), "click", float(item == 1))
    assert calibration.measured() == {
        ("click", "champion"): (pytest.approx(0.5), 10),
        ("click", "challenger"): (pytest.approx(1.0), 10),
    }
    assert not calibration.outcome("r0", "1", "click", 1.0), "an outcome counts once"
    assert not calibration.outcome("r0", "1", "click", 0.0), "the largest value counts"
    assert calibration.outcome("r0", "2", "click", 1.0), "shown first, clicked later"
    assert calibration.measured()["click", "champion"] == (pytest.approx(2.5 / 6), 10)
    assert not calibration.outcome("r0", "9", "click", 1.0), "the item was not shown"
    assert not calibration.outcome("r0", "1", "like", 1.0), "no such task"
    assert not calibration.outcome("other", "1", "click", 1.0), "not our request"


def test_no_positive_yet_is_no_number() -> None:
    calibration = Calibration(clock=Clock())
    calibration.remember(answer(0))
    calibration.outcome("r0", "1", "click", 0.0)
    ratio, count = calibration.measured()["click", "champion"]
    assert math.isnan(ratio)
    assert count == 1


def test_the_oldest_answers_are_forgotten() -> None:
    calibration = Calibration(clock=Clock(), limit=3_500)
    for number in range(5):
        calibration.remember(answer(number))
    assert not calibration.outcome("r1", "1", "click", 1.0)
    assert calibration.outcome("r2", "1", "click", 1.0)


@pytest.mark.parametrize("text", [False, True])
def test_what_is_remembered_is_bounded_by_bytes_whatever_the_answers_hold(text: bool) -> None:
    limit = 200_000
    calibration = Calibration(clock=Clock(), limit=limit)
    size = 700
    items: list[int] | list[str] = (
        [f"shop/ä-{n:040d}" for n in range(size)] if text else [-(2**60) + n for n in range(size)]
    )
    for number in range(60):
        calibration.remember(
            RankingAnswer(
                request_id=f"q{number}",
                user_id=1,
                version="v",
                variant="champion",
                item_ids=items,
                scores={"click": np.linspace(0, 1, size, dtype=np.float32)},
                flags=(),
                unknown_items=[],
            )
        )
        assert calibration.bytes <= limit
    held = [n for n in range(60) if calibration.outcome(f"q{n}", str(items[350]), "click", 1.0)]
    assert calibration.bytes <= limit
    assert held[-1] == 59
    assert 10 < len(held) < 25
    assert not calibration.outcome("q59", "shop/other", "click", 1.0)
    ratio, count = calibration.measured()["click", "champion"]
    assert (count, ratio) == (len(held), pytest.approx(350 / 699))


def test_a_number_and_a_text_of_the_same_digits_are_one_item() -> None:
    calibration = Calibration(clock=Clock())
    calibration.remember(answer(0))
    assert calibration.outcome("r0", "3", "click", 1.0)
    assert not calibration.outcome("r0", "03", "click", 1.0)
    assert not calibration.outcome("r0", "٣", "click", 1.0), "another script's digit is another id"


def test_nothing_is_remembered_before_outcomes_are_delivered(tmp_path: Path) -> None:
    place, clock = tmp_path / "outcomes", Clock()
    monitor = Monitor(MonitorConfig(outcomes=str(place), publish_s=0, outcomes_s=1), clock=clock)
    monitor.answered(answer(0))
    monitor.step()
    assert monitor._calibration.bytes == 0
    place.mkdir()
    clock.now += 2
    monitor.step()
    monitor.answered(answer(1))
    monitor.step()
    assert monitor._calibration.bytes > 0


def test_the_queue_is_bounded_by_bytes() -> None:
    monitor = Monitor(MonitorConfig())
    large = replace(answer(0), item_ids=["x" * 250] * 4)
    before, wanted = MONITOR_DROPPED._value.get(), 0
    each = 500 + 4 * (64 + 250 + 24)
    for _ in range(10_000):
        monitor.answered(replace(large))
        wanted += each
    assert MONITOR_DROPPED._value.get() == before, "10,000 small answers fit"
    huge = RankingAnswer(
        request_id="h",
        user_id=1,
        version="v",
        variant="champion",
        item_ids=["y" * 250] * 1000,
        scores={"click": np.zeros(1000, np.float32)},
        flags=(),
        unknown_items=[],
    )
    monitor.step()
    for _ in range(200):
        monitor.answered(huge)
    assert MONITOR_DROPPED._value.get() - before > 50
    monitor.step()
    assert monitor._queued_bytes == 0


def line(request: str, item: int, value: float = 1.0) -> bytes:
    row = {"request_id": request, "item_id": item, "task": "click", "value": value, "time_ms": 1}
    return json.dumps(row).encode() + b"\n"


def test_outcome_files_are_read_as_they_grow(tmp_path: Path) -> None:
    import polars as pl

    files = OutcomeFiles(str(tmp_path))
    assert list(files.news()) == []
    log = tmp_path / "outcomes.jsonl"
    half = line("b", 2)
    log.write_bytes(line("a", 1) + half[:10])
    assert list(files.news()) == [("a", "1", "click", 1.0)]
    log.write_bytes(line("a", 1) + half + b"garbage\n" + line("c", 3, 0.0))
    assert list(files.news()) == [("b", "2", "click", 1.0), ("c", "3", "click", 0.0)]
    assert list(files.news()) == []
    table = pl.DataFrame(
        {"request_id": ["d"], "item_id": [4], "task": ["click"], "value": [1], "time_ms": [5]}
    )
    table.write_parquet(tmp_path / "more.parquet")
    assert list(files.news()) == [("d", "4", "click", 1.0)]
    table.drop("value").write_parquet(tmp_path / "bad.parquet")
    log.write_bytes(log.read_bytes() + line("e", 5))
    rows = files.news()
    assert next(rows) == ("e", "5", "click", 1.0), "one bad file hides no other"
    with pytest.raises(DataError, match="value"):
        next(rows)
    with pytest.raises(DataError, match="value"):
        list(files.news())


def test_outcomes_that_cannot_be_read_end_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    config = MonitorConfig(outcomes=str(tmp_path), publish_s=0, outcomes_s=1)
    monitor = Monitor(config, clock=clock)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    monitor.answered(answer(0, click=0.75))
    for _ in range(3):
        monitor.step()
        clock.now += 2
    assert sum("bad.parquet" in record.getMessage() for record in caplog.records) == 1
    (tmp_path / "bad.parquet").unlink()
    (tmp_path / "good.jsonl").write_bytes(line("r0", 1))
    monitor.step()
    assert gauge(CALIBRATION_PCOC, "click", "champion") == 0.75


def test_snapshots_hold_what_came_since_the_one_before(tmp_path: Path) -> None:
    clock = Clock()
    config = MonitorConfig(snapshots=str(tmp_path), snapshot_s=60)
    monitor = Monitor(config, newest=lambda: {"user_profile": 5.0}, clock=clock)
    found = bins({"1": 5, "2": 3}, 4)
    for _ in range(2):
        monitor.answered(answer(1, flags=("unknown_user",)))
        monitor.sample("v1", found, {"tab_index": np.array([1, 1, 3])})
        clock.now += 61
        monitor.step()
    monitor.step()
    (tmp_path / "monitor-2026-01-01T00.jsonl").write_bytes(b"{not json\n")
    snapshots, unreadable = read_snapshots(str(tmp_path))
    assert unreadable == 1
    assert [s.users for s in snapshots] == [1, 1]
    assert snapshots[1].features == {"v1": {"tab_index": [2, 0, 1]}}
    assert (snapshots[1].unknown_users, snapshots[1].items) == (1, 4)
    assert snapshots[1].newest == {"user_profile": 5000}


def test_a_folder_that_cannot_be_written_keeps_the_counts(tmp_path: Path) -> None:
    clock = Clock()
    place = tmp_path / "exposures"
    place.write_text("in the way")
    monitor = Monitor(MonitorConfig(snapshots=str(place), snapshot_s=60), clock=clock)
    monitor.answered(answer(1))
    clock.now += 61
    monitor.step()
    place.unlink()
    clock.now += 61
    monitor.step()
    ((snapshot,), _) = read_snapshots(str(place))
    assert snapshot.users == 1


def test_outcomes_that_calibration_cannot_count_are_told_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    config = MonitorConfig(outcomes=str(tmp_path), publish_s=0, outcomes_s=1)
    monitor = Monitor(config, clock=clock)
    monitor.answered(answer(0, click=0.75))
    good = line("r0", 1)
    (tmp_path / "a.jsonl").write_bytes(good.replace(b'"time_ms": 1', b'"time_ms": 1651363200') * 30)
    (tmp_path / "b.jsonl").write_bytes(line("r0", 99) * 5 + good)
    monitor.step()
    (record,) = [record for record in caplog.records if "leaves out" in record.getMessage()]
    text = record.getMessage()
    assert "leaves out 35 of 36 new outcomes: 30 unreadable, for example" in text
    assert "looks like seconds" in text
    assert "5 foreign items, for example request_id 'r0', item_id '99'" in text
    assert gauge(CALIBRATION_PCOC, "click", "champion") == 0.75
