"""Schedules: recurring runs on the server, one a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from hemix.components.plan.windows import MACRO
from hemix.errors import DefinitionError, HemixError
from hemix.files import digest_of
from hemix.pipelines.kfp_client import experiments, versions
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.errors import PipelineApiError
from hemix.pipelines.kfp_client.runs import EXPERIMENT, SERVICE_ACCOUNT, prepare
from hemix.pipelines.kfp_client.spec import check_parameters, inputs_of, spec_of
from hemix.pipelines.kfp_client.triggers import Trigger, text, trigger_of
from hemix.pipelines.kfp_client.versions import PipelineVersion, named
from hemix.texts.naming import shown_name

SCHEDULED_TIME = "scheduled_time"
_MARK = re.compile(r"\[hemix ([0-9a-f]{16})\]")
_MOST_AT_ONCE = 10
_OF_THE_MOMENT = ("deployment_key",)  # parameters that say when a command was given


@dataclass(frozen=True, kw_only=True)
class ScheduleRequest:
    """A schedule that is wanted.

    Args:
        name: unique within the experiment.
        pipeline: what runs.
        compiled: IR YAML to upload unless the server holds it.
        parameters: of the pipeline. One called ``scheduled_time`` is filled with KFP's macro.
        trigger: when.
        catch_up: after a pause or an outage run every missed time; otherwise the latest only.
        max_concurrency: runs at the same time, 1 to 10; a further one waits.
        started: pipelines that runs start by themselves -> IR YAML, uploaded with this one.
        follow_latest: each run takes the version that is the newest then, not the one of now.
    """

    name: str
    pipeline: str
    trigger: Trigger
    compiled: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    catch_up: bool = False
    max_concurrency: int = 1
    follow_latest: bool = False
    started: Mapping[str, str] = field(default_factory=dict)
    experiment: str = EXPERIMENT
    create_experiment: bool = True
    root: str = ""
    service_account: str = SERVICE_ACCOUNT

    def __post_init__(self) -> None:
        shown_name(self.name, "The schedule's name")
        shown_name(self.experiment, "--experiment")
        if not 1 <= self.max_concurrency <= _MOST_AT_ONCE:
            raise DefinitionError(
                f"--max-concurrency {self.max_concurrency}: from 1 to {_MOST_AT_ONCE}."
            )


@dataclass(frozen=True, kw_only=True)
class Created:
    """What became of a request: ``replaced`` when the name had another schedule before."""

    outcome: Literal["created", "unchanged", "replaced"]
    recurring_run_id: str
    version: PipelineVersion
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule on the server; ``last_*`` tell its newest run, if it had one."""

    name: str
    recurring_run_id: str
    experiment_id: str
    enabled: bool
    trigger: Trigger
    catch_up: bool
    max_concurrency: int
    pipeline_id: str
    version_id: str
    last_run_id: str = ""
    last_state: str = ""
    last_scheduled: datetime | None = None


def create(api: PipelinesApi, request: ScheduleRequest) -> Created:
    """Make the schedule, or make the one of this name as wanted; the same again changes nothing.

    A schedule that is replaced stays paused if it was, and does not run again what it has run. The
    new one is made before the old one is removed, so that a failure leaves one that works.

    Raises:
        HemixError: a value cannot be used, or the server refuses; what was scheduled stays so.
    """
    request = _with_macro(request)
    check_parameters(spec_of(request.compiled), request.parameters)
    version = prepare(
        api,
        request.pipeline,
        request.compiled,
        request.parameters,
        request.experiment,
        request.create_experiment,
    )
    for inner, ir in request.started.items():
        versions.upload(api, inner, ir)
    experiment_id = experiments.find_or_create(api, request.experiment)
    digest = _digest(request, version)
    there = _called(api, experiment_id, request.name)
    same = next((one for one in there if _digest_in(one) == digest), None)
    old = [one for one in there if one is not same]
    made = same or _create(api, request, version, experiment_id, digest, old)
    if same is None:
        _as_asked(api, request, made, version)
    _remove(api, request.name, old)
    return Created(
        outcome="unchanged" if same is not None else "replaced" if old else "created",
        recurring_run_id=made.recurring_run_id,
        version=version,
        enabled=made.status != "DISABLED",
    )


def listed(api: PipelinesApi, experiment: str = EXPERIMENT) -> list[Schedule]:
    """All schedules of an experiment, by name; none when there is no such experiment."""
    found = experiments.find(api, experiment)
    if found is None:
        return []
    recurring = list(
        api.all_of(
            api.recurring_runs.recurring_run_service_list_recurring_runs,
            "recurring_runs",
            experiment_id=found.experiment_id,
        )
    )
    last = _last_runs(api, found.experiment_id, {one.recurring_run_id for one in recurring})
    schedules = [_schedule(one, last.get(one.recurring_run_id)) for one in recurring]
    return sorted(schedules, key=lambda schedule: schedule.name)


def pause(api: PipelinesApi, name: str, experiment: str = EXPERIMENT) -> None:
    """No further runs until :func:`resume`; those that go are not touched."""
    for one in _require(api, name, experiment):
        api.write(
            api.recurring_runs.recurring_run_service_disable_recurring_run, one.recurring_run_id
        )


def resume(api: PipelinesApi, name: str, experiment: str = EXPERIMENT) -> Schedule:
    """Let a paused schedule fire again; with catch-up, also for each time it missed."""
    found = _require(api, name, experiment)
    for one in found:
        api.write(
            api.recurring_runs.recurring_run_service_enable_recurring_run, one.recurring_run_id
        )
    return _schedule(found[0], None)


def delete(api: PipelinesApi, name: str, experiment: str = EXPERIMENT) -> None:
    """Remove a schedule; its runs stay."""
    _remove(api, name, _require(api, name, experiment))


def pipeline_names(api: PipelinesApi, schedules: list[Schedule]) -> dict[str, str]:
    """Id of each schedule's pipeline -> its name."""
    ids = {schedule.pipeline_id for schedule in schedules}
    return {
        pipeline_id: api.read(api.pipelines.pipeline_service_get_pipeline, pipeline_id).name
        for pipeline_id in sorted(ids)
    }


# ---- how -----------------------------------------------------------------------------------------


def _with_macro(request: ScheduleRequest) -> ScheduleRequest:
    known = inputs_of(spec_of(request.compiled))
    if SCHEDULED_TIME in request.parameters or SCHEDULED_TIME not in known:
        return request
    return replace(request, parameters={**request.parameters, SCHEDULED_TIME: MACRO})


def _create(
    api: PipelinesApi,
    request: ScheduleRequest,
    version: PipelineVersion,
    experiment_id: str,
    digest: str,
    old: list[Any],
) -> Any:
    import kfp_server_api

    paused = bool(old) and all(one.status == "DISABLED" for one in old)
    body = kfp_server_api.V2beta1RecurringRun(
        display_name=request.name,
        description=f"{request.pipeline}, {request.trigger.told()} [hemix {digest}]",
        experiment_id=experiment_id,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id,
            pipeline_version_id=None if request.follow_latest else version.version_id,
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=dict(request.parameters), pipeline_root=request.root or None
        ),
        service_account=request.service_account or None,
        max_concurrency=str(request.max_concurrency),  # the API writes 64 bits as text
        no_catchup=not request.catch_up,
        mode="DISABLE" if paused else "ENABLE",
        trigger=_trigger(_after_last(api, request.trigger, experiment_id, old)),
    )
    return api.write(api.recurring_runs.recurring_run_service_create_recurring_run, body)


def _as_asked(
    api: PipelinesApi, request: ScheduleRequest, made: Any, version: PipelineVersion
) -> None:
    """Take back what the server stored otherwise than it was asked: no one would look at night.

    Raises:
        PipelineApiError: names what differs; the schedule that was made is removed again.
    """
    stored = api.read(
        api.recurring_runs.recurring_run_service_get_recurring_run, made.recurring_run_id
    )
    runtime = stored.runtime_config
    reference = stored.pipeline_version_reference
    wanted = {
        "service account": (request.service_account, stored.service_account or ""),
        "pipeline root": (request.root, (runtime and runtime.pipeline_root) or ""),
        "parameters": (dict(request.parameters), dict((runtime and runtime.parameters) or {})),
        "pipeline version": (
            "" if request.follow_latest else version.version_id,
            (reference and reference.pipeline_version_id) or "",
        ),
        "runs at once": (str(request.max_concurrency), str(stored.max_concurrency)),
        "catch-up": (request.catch_up, not stored.no_catchup),
    }
    other = [
        f"{what} {has!r}, not {asked!r}"
        for what, (asked, has) in wanted.items()
        if asked and asked != has
    ]
    if other:
        api.write(
            api.recurring_runs.recurring_run_service_delete_recurring_run, made.recurring_run_id
        )
        raise PipelineApiError(
            f"The server stored schedule {request.name!r} with {'; '.join(other)}. It is removed again.",
            hint="Ask whoever runs the server; what was scheduled before stays.",
        )


def _after_last(api: PipelinesApi, trigger: Trigger, experiment_id: str, old: list[Any]) -> Trigger:
    """The trigger, starting not before the last run of the schedule that it takes the place of."""
    last = _last_runs(api, experiment_id, {one.recurring_run_id for one in old})
    times = [run.scheduled_at for run in last.values() if run.scheduled_at]
    if not times or trigger.start is None or trigger.start >= max(times):
        return trigger
    return replace(trigger, start=max(times))


def _trigger(trigger: Trigger) -> Any:
    import kfp_server_api

    bounds = {
        "start_time": text(trigger.start) if trigger.start else None,
        "end_time": text(trigger.end) if trigger.end else None,
    }
    if trigger.cron:
        cron = kfp_server_api.V2beta1CronSchedule(cron=trigger.cron, **bounds)
        return kfp_server_api.V2beta1Trigger(cron_schedule=cron)
    interval = kfp_server_api.V2beta1PeriodicSchedule(
        interval_second=str(trigger.interval_s), **bounds
    )
    return kfp_server_api.V2beta1Trigger(periodic_schedule=interval)


def _called(api: PipelinesApi, experiment_id: str, name: str) -> list[Any]:
    found = api.all_of(
        api.recurring_runs.recurring_run_service_list_recurring_runs,
        "recurring_runs",
        experiment_id=experiment_id,
        filter=named(name),
    )
    return [one for one in found if one.display_name == name]


def _require(api: PipelinesApi, name: str, experiment: str) -> list[Any]:
    found = _called(api, experiments.require(api, experiment), name)
    if not found:
        raise PipelineApiError(
            f"Experiment {experiment!r} on {api.connection.host} has no schedule {name!r}.",
            hint="See hemix schedule list.",
        )
    return found


def _remove(api: PipelinesApi, name: str, old: list[Any]) -> None:
    for one in old:
        try:
            api.write(
                api.recurring_runs.recurring_run_service_delete_recurring_run, one.recurring_run_id
            )
        except HemixError as error:
            raise type(error)(
                f"{error.message} Schedule {name!r} ({one.recurring_run_id}) is still there.",
                hint="Run the same command again.",
            ) from error


def _last_runs(api: PipelinesApi, experiment_id: str, wanted: set[str]) -> dict[str, Any]:
    """The newest run of each wanted recurring run, among the latest runs of the experiment."""
    if not wanted:
        return {}
    recent = api.read(
        api.runs.run_service_list_runs,
        experiment_id=experiment_id,
        page_size=100,
        sort_by="created_at desc",
    ).runs
    last: dict[str, Any] = {}
    for run in recent or ():
        if run.recurring_run_id in wanted:
            last.setdefault(run.recurring_run_id, run)
    return last


def _schedule(one: Any, last: Any | None) -> Schedule:
    reference = one.pipeline_version_reference
    return Schedule(
        name=one.display_name,
        recurring_run_id=one.recurring_run_id,
        experiment_id=one.experiment_id,
        enabled=one.status != "DISABLED",
        trigger=trigger_of(one.trigger),
        catch_up=not one.no_catchup,
        max_concurrency=int(one.max_concurrency),
        pipeline_id=reference.pipeline_id,
        version_id=reference.pipeline_version_id or "",
        last_run_id=last.run_id if last else "",
        last_state=last.state if last else "",
        last_scheduled=last.scheduled_at.astimezone(UTC) if last else None,
    )


def _digest(request: ScheduleRequest, version: PipelineVersion) -> str:
    trigger = request.trigger
    return digest_of(
        [
            request.pipeline,
            "latest" if request.follow_latest else version.name,
            {k: v for k, v in request.parameters.items() if k not in _OF_THE_MOMENT},
            trigger.cron,
            trigger.interval_s,
            text(trigger.start) if trigger.start else "",
            text(trigger.end) if trigger.end else "",
            request.catch_up,
            request.max_concurrency,
            request.root,
            request.service_account,
        ],
        length=16,
    )


def _digest_in(one: Any) -> str:
    match = _MARK.search(one.description or "")
    return match[1] if match else ""
