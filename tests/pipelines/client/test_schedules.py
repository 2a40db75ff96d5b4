"""Schedules as they are kept: made, made again, changed; their versions and times."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hemix.components.plan.windows import MACRO, scheduled_time
from hemix.errors import DefinitionError, HemixError
from hemix.pipelines.kfp_client import schedules
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.errors import AccessDenied, PipelineApiError
from hemix.pipelines.kfp_client.runs import submit
from hemix.pipelines.kfp_client.schedules import ScheduleRequest
from hemix.pipelines.kfp_client.triggers import Trigger
from tests.kfp_server import KfpServer
from tests.pipelines.client.conftest import TOKEN, Start
from tests.pipelines.client.schedule import DAY, START, times

pytestmark = pytest.mark.usefixtures("no_waits")


def test_a_schedule_is_made_as_said(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    made = schedules.create(api, replace(nightly, root="s3://b/p"))
    assert made.outcome == "created"
    body = kfp.schedules[made.recurring_run_id].body
    assert body["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (body["max_concurrency"], body["no_catchup"], body["mode"]) == ("1", True, "ENABLE")
    assert body["service_account"] == "hemix-pipeline"
    assert body["runtime_config"] == {
        "parameters": {"day": "x", "scheduled_time": MACRO},
        "pipeline_root": "s3://b/p",
    }
    assert body["pipeline_version_reference"]["pipeline_version_id"] == made.version.version_id


def test_the_same_again_changes_nothing(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    made = schedules.create(api, nightly)
    kfp.advance(2 * DAY)
    kfp.calls.clear()
    again = schedules.create(api, nightly)
    assert (again.outcome, again.recurring_run_id) == ("unchanged", made.recurring_run_id)
    assert kfp.writes() == []


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"day": "y"}},
        {"trigger": Trigger(interval_s=3600)},
        {"catch_up": True},
        {"max_concurrency": 2},
        {"follow_latest": True},
        {"root": "s3://other"},
    ],
)
def test_another_request_of_the_name_replaces_it(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest, change: dict[str, Any]
) -> None:
    first = schedules.create(api, nightly)
    second = schedules.create(api, replace(nightly, **change))
    assert second.outcome == "replaced"
    assert list(kfp.schedules) == [second.recurring_run_id]
    assert second.recurring_run_id != first.recurring_run_id


def test_new_content_of_the_pipeline_replaces_it(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, nightly)
    made = schedules.create(api, replace(nightly, compiled=nightly.compiled + "# more\n"))
    assert made.outcome == "replaced"
    kfp.advance(DAY)
    assert [
        r.body["pipeline_version_reference"]["pipeline_version_id"] for r in kfp.runs.values()
    ] == [made.version.version_id]


def test_a_replaced_schedule_stays_paused(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, nightly)
    schedules.pause(api, "nightly")
    made = schedules.create(api, replace(nightly, max_concurrency=2))
    assert not made.enabled
    kfp.advance(3 * DAY)
    assert kfp.runs == {}


def test_a_replaced_schedule_runs_nothing_twice(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    since = replace(
        nightly, catch_up=True, trigger=Trigger(cron="0 0 3 * * *", start=START - 2 * DAY)
    )
    schedules.create(api, since)
    kfp.advance(DAY)
    assert times(kfp) == ["30 03:00", "01 03:00", "02 03:00"]
    schedules.create(api, replace(since, max_concurrency=2))
    kfp.advance(DAY)
    assert times(kfp) == ["30 03:00", "01 03:00", "02 03:00", "03 03:00"]


def test_when_the_new_one_cannot_be_made_the_old_one_stays(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    made = schedules.create(api, nightly)
    kfp.create_schedule = lambda body: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(PipelineApiError, match="division by zero"):
        schedules.create(api, replace(nightly, max_concurrency=2))
    assert list(kfp.schedules) == [made.recurring_run_id]


def test_when_the_old_one_cannot_be_removed_the_next_call_mends_it(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules.create(api, nightly)
    changed = replace(nightly, max_concurrency=2)
    with monkeypatch.context() as broken:
        broken.setattr(kfp, "_RecurringRunService_DeleteRecurringRun", lambda *_: 1 / 0)
        with pytest.raises(PipelineApiError, match="still there"):
            schedules.create(api, changed)
    assert len(kfp.schedules) == 2
    mended = schedules.create(api, changed)
    assert list(kfp.schedules) == [mended.recurring_run_id]
    assert schedules.create(api, changed).outcome == "unchanged"


@pytest.mark.parametrize("number", [0, 11])
def test_concurrency_is_from_1_to_10(nightly: ScheduleRequest, number: int) -> None:
    with pytest.raises(DefinitionError, match="from 1 to 10"):
        replace(nightly, max_concurrency=number)


def test_wrong_parameters_reach_no_server(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    with pytest.raises(DefinitionError, match="needs day"):
        schedules.create(api, replace(nightly, parameters={}))
    assert kfp.calls == []


def test_a_missing_experiment_leaves_the_server_as_it_was(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    with pytest.raises(PipelineApiError, match="no experiment 'hemix'"):
        schedules.create(api, replace(nightly, create_experiment=False))
    assert kfp.writes() == []


def test_a_schedule_keeps_its_version_unless_it_follows_the_latest(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest, connection: Connection
) -> None:
    pinned = schedules.create(api, nightly)
    schedules.create(api, replace(nightly, name="newest", follow_latest=True))
    kfp.advance(1)
    other = nightly.compiled + "# an experiment of somebody\n"
    newer = submit("small", {"day": "y"}, connection=connection, compiled=other)
    kfp.advance(DAY)
    by_schedule = {
        run.recurring_run_id: run.body["pipeline_version_reference"]["pipeline_version_id"]
        for run in kfp.runs.values()
    }
    assert by_schedule[pinned.recurring_run_id] == pinned.version.version_id
    del by_schedule[pinned.recurring_run_id], by_schedule[""]
    assert list(by_schedule.values()) == [newer.version.version_id]


@pytest.mark.parametrize("expands", [False, True])
def test_the_scheduled_time_is_understood_whatever_the_server_makes_of_it(
    start: Start, nightly: ScheduleRequest, expands: bool
) -> None:
    """KFP 2.17 hands the macro on as it is; later ones write 14 digits. The plan step reads both."""
    server = start(expands_macros=expands)
    api = PipelinesApi(Connection(host=server.url, token=TOKEN))
    schedules.create(api, replace(nightly, follow_latest=True))
    server.advance(DAY)
    (run,) = server.runs.values()
    text = run.body["runtime_config"]["parameters"]["scheduled_time"]
    assert text == ("20220502030000" if expands else MACRO)
    assert scheduled_time(text, now=run.created) == START + timedelta(hours=3)


def test_an_expired_token_changes_no_schedule(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    schedules.create(api, nightly)
    kfp.tokens = {"another"}
    for change in (schedules.pause, schedules.resume, schedules.delete):
        with pytest.raises(AccessDenied):
            change(api, "nightly")
    with pytest.raises(HemixError):
        schedules.create(api, replace(nightly, max_concurrency=3))
    kfp.advance(DAY)
    assert times(kfp) == ["02 03:00"]


def test_schedules_are_listed_by_name(
    kfp: KfpServer, api: PipelinesApi, nightly: ScheduleRequest
) -> None:
    assert schedules.listed(api) == []
    schedules.create(api, replace(nightly, name="b", trigger=Trigger(interval_s=60), catch_up=True))
    schedules.create(api, replace(nightly, name="a", max_concurrency=3))
    a, b = schedules.listed(api)
    assert (a.name, a.trigger.told(), a.catch_up, a.max_concurrency) == (
        "a",
        "0 0 3 * * *",
        False,
        3,
    )
    assert (b.name, b.trigger.told(), b.catch_up, b.last_state) == ("b", "every 1m", True, "")
    assert set(schedules.pipeline_names(api, [a, b]).values()) == {"small"}


def test_the_hour_of_a_command_makes_no_new_schedule(
    api: PipelinesApi, nightly: ScheduleRequest, small: str
) -> None:
    """A parameter that says when the command was given is not what the schedule is."""
    text = small.replace("scheduled_time", "deployment_key")
    keyed = replace(nightly, compiled=text, parameters={"day": "x", "deployment_key": "09:00"})
    schedules.create(api, keyed)
    later = replace(keyed, parameters={"day": "x", "deployment_key": "10:00"})
    assert schedules.create(api, later).outcome == "unchanged"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "The schedule's name is empty"),
        ({"name": "night\tly"}, r"holds '\\t', which cannot be seen; write 'night ly'"),
        ({"name": "n" * 129}, "has 129 letters; a name has at most 128"),
        ({"experiment": " team a"}, "--experiment: ' team a' begins or ends with a blank"),
        ({"experiment": "a\u202eb"}, r"--experiment: .* cannot be seen"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(
    nightly: ScheduleRequest, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        replace(nightly, **change)
    assert replace(nightly, name="jede Nacht (größte)", experiment="チーム")
