"""Planning a retraining: rolling windows, names, champion, and what is already done."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.components.plan.naming import version_name
from hemix.components.plan.step import Planned, run
from hemix.components.plan.windows import RollingWindows, scheduled_time
from hemix.components.steps import BY_NAME
from hemix.errors import DataError, DefinitionError, RegistryError
from hemix.features.definition import DatasetDefinition
from hemix.features.split import Split
from hemix.revision import revision
from hemix.serving.registry.opening import open_registry
from tests.small import SmallRun

NOW = datetime(2022, 5, 1, 12, tzinfo=UTC)
WINDOWS = RollingWindows(train_days=4, test_days=2, delay_s=6 * 3600)


@given(
    scheduled=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    train=st.integers(1, 400),
    test=st.integers(1, 30),
    delay=st.integers(0, 10 * 86400),
)
def test_windows_end_with_the_last_complete_day(
    scheduled: datetime, train: int, test: int, delay: int
) -> None:
    scheduled = scheduled.replace(tzinfo=UTC)
    windows = RollingWindows(train_days=train, test_days=test, delay_s=delay)
    split = Split.model_validate(windows.split(scheduled))
    end = split.test.end
    assert end + timedelta(seconds=delay) <= scheduled
    assert end + timedelta(days=1, seconds=delay) > scheduled
    assert end.timestamp() % 86400 == 0
    assert end - split.test.start == timedelta(days=test)
    assert split.train.end == split.test.start
    assert split.train.end - split.train.start == timedelta(days=train)


def test_a_log_that_comes_late_moves_the_windows_by_a_day() -> None:
    at_five = Split.model_validate(WINDOWS.split(datetime(2022, 5, 1, 5, tzinfo=UTC)))
    at_six = Split.model_validate(WINDOWS.split(datetime(2022, 5, 1, 6, tzinfo=UTC)))
    assert at_five.test.end == datetime(2022, 4, 30, tzinfo=UTC)
    assert at_six.test.end == datetime(2022, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("", NOW),
        ("[[ScheduledTime]]", NOW),
        ("20220501020304", datetime(2022, 5, 1, 2, 3, 4, tzinfo=UTC)),
        ("2022-05-01", datetime(2022, 5, 1, tzinfo=UTC)),
        ("2022-05-01T02:00:00Z", datetime(2022, 5, 1, 2, tzinfo=UTC)),
        ("2022-05-01T02:00:00+02:00", datetime(2022, 5, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, time: datetime) -> None:
    assert scheduled_time(text, NOW) == time


@pytest.mark.parametrize("text", ["soon", "20229901000000", "[[Index]]"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(repr(text))):
        scheduled_time(text, NOW)


@pytest.mark.parametrize("change", [{"train_days": 0}, {"test_days": 0}, {"delay_s": -1}])
def test_windows_of_no_length_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(DefinitionError, match="at least one day"):
        replace(WINDOWS, **change)


def _plan(definition: DatasetDefinition, registry: Path, scheduled: str = "2022-05-01") -> Planned:
    return run(
        definition=definition,
        scheduled=scheduled,
        windows=replace(WINDOWS, delay_s=0),
        recipe="tiny",
        overrides={},
        registry=str(registry),
        checkpoints="s3://bucket/checkpoints/",
    )


def test_the_plan_is_what_training_needs(
    tmp_path: Path, small_definition: DatasetDefinition
) -> None:
    planned = _plan(small_definition, tmp_path / "registry")
    rolled = DatasetDefinition.parse(planned.definition)
    assert planned.needed
    assert planned.champion == ""
    assert rolled.split.test.end == datetime(2022, 5, 1, tzinfo=UTC)
    assert rolled.split.train.start == datetime(2022, 4, 25, tzinfo=UTC)
    assert planned.version == version_name(
        rolled, "tiny", {}, planned.source_fingerprint, revision()
    )
    assert planned.feature_service == f"ranker_{planned.version}"
    assert planned.checkpoints == f"s3://bucket/checkpoints/{planned.version}"
    assert not (tmp_path / "registry").exists()


def test_another_hour_of_the_day_is_the_same_version_and_another_day_is_not(
    tmp_path: Path, small_definition: DatasetDefinition
) -> None:
    first, again, next_day = (
        _plan(small_definition, tmp_path, time)
        for time in ("2022-05-01T01:00:00", "20220501233000", "2022-05-02T01:00:00")
    )
    assert first == again
    assert next_day.version != first.version
    assert next_day.events_definition == first.events_definition
    assert next_day.source_fingerprint == first.source_fingerprint


@pytest.mark.slow
def test_the_champion_is_compared_with_and_a_known_version_is_not_needed(
    tmp_path: Path, small_run: SmallRun, small_definition: DatasetDefinition
) -> None:
    registry = tmp_path / "registry"
    open_registry(registry).add(small_run.model, share=0.1)
    planned = _plan(small_definition, registry)
    assert planned.needed
    assert planned.champion == str(registry / "versions" / "small-tiny")
    assert (Path(planned.champion) / "manifest.json").is_file()

    state = registry / "state.json"
    state.write_text(state.read_text().replace("small-tiny", planned.version))
    known = _plan(small_definition, registry)
    assert not known.needed
    assert known.champion == ""


def test_what_cannot_be_planned_is_named(
    tmp_path: Path, small_definition: DatasetDefinition
) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(RegistryError, match=r"state\.json"):
        _plan(small_definition, tmp_path)
    gone = DatasetDefinition.parse({**small_definition.model_dump(mode="json"), "root": "/nowhere"})
    with pytest.raises(DataError, match="/nowhere"):
        _plan(gone, tmp_path / "registry")


@pytest.mark.parametrize("step", ["ingest", "plan"])
def test_images_of_steps_that_look_at_the_log_reach_s3(step: str) -> None:
    """fsspec imports s3fs by name when an address needs it: no list of imports shows that."""
    lists = Path(__file__).parents[2] / "infra" / "images" / "requirements"
    assert "\ns3fs==" in (lists / f"{BY_NAME[step].image}.txt").read_text()
