"""Schedules as behaviour: what runs when, over days of the server's own clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from hemix.pipelines.kfp_client import schedules
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.errors import PipelineApiError
from hemix.pipelines.kfp_client.schedules import ScheduleRequest
from hemix.pipelines.kfp_client.triggers import Trigger
from tests.kfp_server import KfpServer, Script
from tests.pipelines.client.schedule import DAY, HOUR, START, states, times

pytestmark = pytest.mark.usefixtures("no_waits")


def test_it_runs_every_night(kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest) -> None:
    schedules.create(api, nightly)
    kfp.advance(3 * DAY)
    assert times(kfp) == ["02 03:00", "03 03:00", "04 03:00"]
    assert states(kfp) == ["SUCCEEDED"] * 3


def test_start_and_end_bound_it(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    trigger = Trigger(cron="0 0 3 * * *", start=START + DAY, end=START + 3 * DAY)
    schedules.create(api, replace(nightly, trigger=trigger))
    kfp.advance(9 * DAY)
    assert times(kfp) == ["03 03:00", "04 03:00"]


def test_an_interval_counts_from_the_last_run(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, replace(nightly, trigger=Trigger(interval_s=6 * 3600)))
    kfp.advance(DAY)
    assert times(kfp) == ["02 06:00", "02 12:00", "02 18:00", "03 00:00"]


def test_of_missed_windows_the_latest_runs(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    """The controller is away for three days: retraining on a rolling window needs the last only."""
    schedules.create(api, nightly)
    kfp.controller_is_up = False
    kfp.advance(3 * DAY)
    assert kfp.runs == {}
    kfp.controller_is_up = True
    kfp.advance(HOUR)
    assert times(kfp) == ["04 03:00"]
    kfp.advance(DAY)
    assert times(kfp) == ["04 03:00", "05 03:00"]


def test_with_catch_up_every_missed_window_runs_one_after_another(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, replace(nightly, catch_up=True))
    kfp.controller_is_up = False
    kfp.advance(3 * DAY)
    kfp.controller_is_up = True
    kfp.advance(10)
    assert times(kfp) == ["02 03:00"]
    kfp.advance(HOUR)
    assert times(kfp) == ["02 03:00", "03 03:00", "04 03:00"]
    runs = list(kfp.runs.values())
    assert all(a.finished and a.finished <= b.created for a, b in pairwise(runs))


def test_a_window_that_falls_into_a_run_waits_for_its_end(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    kfp.script = lambda run: Script(task_s=15 * HOUR)  # two tasks: 30 hours
    schedules.create(api, nightly)
    kfp.advance(2 * DAY)
    assert times(kfp) == ["02 03:00", "03 03:00"]
    first, second = kfp.runs.values()
    assert second.created == first.finished == START + timedelta(hours=33)


def test_windows_overlap_when_that_is_wanted(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    kfp.script = lambda run: Script(task_s=40 * HOUR)
    schedules.create(api, replace(nightly, max_concurrency=2))
    kfp.advance(3 * DAY)
    assert times(kfp) == ["02 03:00", "03 03:00"]  # the third waits for one of the two
    assert states(kfp) == ["RUNNING", "RUNNING"]
    kfp.advance(DAY)
    assert times(kfp)[2:] == ["05 03:00"]  # 4 May was missed; the latest counts


def test_a_failed_run_does_not_stop_the_schedule(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    broken = Script(fails={"check": "no such bucket"})
    kfp.script = lambda run: broken if kfp.now < START + DAY else Script()
    schedules.create(api, nightly)
    kfp.advance(DAY)
    assert states(kfp) == ["FAILED"]
    (one,) = schedules.listed(api)
    assert (one.last_state, one.last_scheduled) == ("FAILED", START + timedelta(hours=3))
    kfp.advance(DAY)
    assert states(kfp) == ["FAILED", "SUCCEEDED"]
    (one,) = schedules.listed(api)
    assert (one.last_state, one.last_scheduled) == ("SUCCEEDED", START + timedelta(hours=27))


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [(False, ["02 03:00", "05 03:00"]), (True, ["02 03:00", "03 03:00", "04 03:00", "05 03:00"])],
)
def test_pause_and_resume(
    kfp: KfpServer,
    api: PipelinesApi,
    nightly: ScheduleRequest,
    catch_up: bool,
    expected: list[str],
) -> None:
    schedules.create(api, replace(nightly, catch_up=catch_up))
    kfp.advance(DAY)
    for _ in range(2):
        schedules.pause(api, "nightly")
    assert [one.enabled for one in schedules.listed(api)] == [False]
    kfp.advance(3 * DAY)
    assert times(kfp) == ["02 03:00"]
    for _ in range(2):
        schedules.resume(api, "nightly")
    kfp.advance(HOUR)
    assert times(kfp) == expected
    assert [one.enabled for one in schedules.listed(api)] == [True]


def test_a_pause_leaves_the_run_that_goes(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    kfp.script = lambda run: Script(task_s=HOUR)
    schedules.create(api, nightly)
    kfp.advance(4 * HOUR)
    schedules.pause(api, "nightly")
    assert states(kfp) == ["RUNNING"]
    kfp.advance(2 * DAY)
    assert states(kfp) == ["SUCCEEDED"]


def test_delete_ends_it_and_keeps_its_runs(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, nightly)
    kfp.advance(DAY)
    schedules.delete(api, "nightly")
    kfp.advance(3 * DAY)
    assert times(kfp) == ["02 03:00"]
    assert schedules.listed(api) == []
    with pytest.raises(PipelineApiError, match="no schedule 'nightly'"):
        schedules.delete(api, "nightly")


def test_a_schedule_made_anew_starts_from_now(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, replace(nightly, catch_up=True))
    schedules.delete(api, "nightly")
    kfp.advance(3 * DAY)
    assert schedules.create(api, replace(nightly, catch_up=True)).outcome == "created"
    kfp.advance(DAY)
    assert times(kfp) == ["05 03:00"]
