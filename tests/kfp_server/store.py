"""What the server holds, and the rules by which it changes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from tests.kfp_server import schedules
from tests.kfp_server.inputs import check_inputs
from tests.kfp_server.macros import Macros
from tests.kfp_server.runs import Run, text
from tests.kfp_server.schedules import Schedule
from tests.kfp_server.swagger import Refused
from tests.kfp_server.timeline import Script

Body = dict[str, Any]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Store:
    """Pipelines, versions, experiments, runs, recurring runs, and the clock that moves them.

    Args:
        multi_user: whether requests must name a namespace; there is none otherwise.
        namespaces: those that the user may use.
        expands_macros: whether recurring runs that follow the latest version get their macros
            written out. KFP 2.17 hands the texts of v2 pipelines on as they are; later ones do not.
    """

    def __init__(
        self,
        *,
        multi_user: bool = False,
        namespaces: tuple[str, ...] = ("hemix",),
        expands_macros: bool = False,
        now: datetime = datetime(2022, 5, 2, tzinfo=UTC),
    ) -> None:
        self.multi_user = multi_user
        self.namespaces = namespaces
        self.expands_macros = expands_macros
        self.now = now
        self.script: Callable[[Body], Script] = lambda run: Script()
        self.controller_is_up = True
        self.pipelines: dict[str, Body] = {}
        self.versions: dict[str, Body] = {}
        self.experiments: dict[str, Body] = {}
        self.runs: dict[str, Run] = {}
        self.schedules: dict[str, Schedule] = {}

    # ---- time ----------------------------------------------------------------------------------

    def advance(self, duration: timedelta | float) -> None:
        """Let time pass; every run and schedule does in order what falls into it."""
        seconds = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
        target = self.now + seconds
        while self.now < target:
            self.now = min([target, *(t for t in self._events() if self.now < t < target)])
            self.settle()

    def settle(self) -> None:
        """Do what is due now, until nothing more is."""
        for run in self.runs.values():
            run.advance(self.now)
        while self.controller_is_up:
            fired = [schedule for schedule in list(self.schedules.values()) if self._fire(schedule)]
            if not fired:
                return

    def _events(self) -> Iterable[datetime]:
        for run in self.runs.values():
            if run.active:
                yield run.ends
        for schedule in self.schedules.values():
            if upcoming := schedule.next(self.now):
                yield upcoming

    def _fire(self, schedule: Schedule) -> bool:
        mine = [r for r in self.runs.values() if r.recurring_run_id == schedule.recurring_run_id]
        scheduled = schedule.due(self.now, sum(run.active for run in mine))
        if scheduled is None:
            return False
        body = schedule.body
        reference = dict(body["pipeline_version_reference"])
        follows_latest = "pipeline_version_id" not in reference
        with suppress(KeyError, IndexError):
            if follows_latest:
                newest = self.versions_of(reference["pipeline_id"])[-1]
                reference["pipeline_version_id"] = newest["pipeline_version_id"]
            run_id = str(uuid.uuid4())
            config = dict(body.get("runtime_config", {}))
            if follows_latest and self.expands_macros:
                macros = Macros(
                    run_id=run_id, scheduled=scheduled, now=self.now, index=schedule.index + 1
                )
                config["parameters"] = macros.expand(config.get("parameters", {}))
            run = self._run(
                {
                    "experiment_id": body["experiment_id"],
                    "display_name": f"{body['display_name']}-{schedule.index + 1}",
                    "pipeline_version_reference": reference,
                    "runtime_config": config,
                    **(
                        {"service_account": body["service_account"]}
                        if "service_account" in body
                        else {}
                    ),
                },
                scheduled=scheduled,
                recurring_run_id=schedule.recurring_run_id,
                run_id=run_id,
            )
            run.advance(self.now)
            schedule.fired(scheduled)
            return True
        return False  # the pipeline is gone: the controller logs it and tries again

    # ---- pipelines -----------------------------------------------------------------------------

    def create_pipeline(self, body: Body) -> Body:
        namespace = self._namespace_of(body)
        name = body.get("name") or body.get("display_name")
        if not name:
            raise Refused(400, "Invalid input error: pipeline's name cannot be empty")
        if any(
            p["name"] == name and p.get("namespace", "") == namespace
            for p in self.pipelines.values()
        ):
            raise Refused(
                409,
                f"Already exist error: Failed to create a new pipeline. The name {name} already exist",
            )
        made = {
            **body,
            "name": name,
            "display_name": body.get("display_name") or name,
            "pipeline_id": str(uuid.uuid4()),
            "created_at": text(self.now),
        }
        self.pipelines[made["pipeline_id"]] = made
        return made

    def pipeline_named(self, name: str, namespace: str) -> Body:
        for pipeline in self.pipelines.values():
            if pipeline["name"] == name and pipeline.get("namespace", "") == namespace:
                return pipeline
        raise Refused(404, f"ResourceNotFoundError: Pipeline {name} not found")

    def delete_pipeline(self, pipeline_id: str, cascade: bool) -> None:
        self.one(self.pipelines, pipeline_id, "Pipeline")
        left = self.versions_of(pipeline_id)
        if left and not cascade:
            raise Refused(
                400, f"Pipeline {pipeline_id} has {len(left)} pipeline versions; delete them first"
            )
        for version in left:
            del self.versions[version["pipeline_version_id"]]
        del self.pipelines[pipeline_id]

    def upload_version(self, pipeline_id: str, name: str, display_name: str, document: str) -> Body:
        self.one(self.pipelines, pipeline_id, "Pipeline")
        if any(v["name"] == name for v in self.versions_of(pipeline_id)):
            raise Refused(409, f"Already exist error: The pipeline version {name} already exists")
        documents = [part for part in yaml.load_all(document, Loader=_LOADER) if part]
        spec = next((d for d in documents if isinstance(d, dict) and "pipelineInfo" in d), None)
        if spec is None or "root" not in spec:
            raise Refused(
                400, "Invalid input error: unknown template format: no pipeline spec is provided"
            )
        platform = next((d for d in documents if "platforms" in d), None)
        told = {"pipeline_spec": spec, "platform_spec": platform} if platform else spec
        made: Body = {
            "pipeline_id": pipeline_id,
            "pipeline_version_id": str(uuid.uuid4()),
            "name": name,
            "display_name": display_name or name,
            "created_at": text(self.now),
            "pipeline_spec": told,
        }
        self.versions[made["pipeline_version_id"]] = made
        return made

    def versions_of(self, pipeline_id: str) -> list[Body]:
        """Oldest first."""
        return [v for v in self.versions.values() if v["pipeline_id"] == pipeline_id]

    # ---- experiments ---------------------------------------------------------------------------

    def create_experiment(self, body: Body) -> Body:
        namespace = self._namespace_of(body)
        name = body.get("display_name", "")
        if not name:
            raise Refused(400, "Invalid input error: Experiment name is empty")
        if any(
            e["display_name"] == name and e.get("namespace", "") == namespace
            for e in self.experiments.values()
        ):
            raise Refused(409, f"Already exist error: The name {name} already exists")
        made = {
            **body,
            "experiment_id": str(uuid.uuid4()),
            "created_at": text(self.now),
            "storage_state": "AVAILABLE",
        }
        self.experiments[made["experiment_id"]] = made
        return made

    # ---- runs ----------------------------------------------------------------------------------

    def create_run(self, body: Body) -> Run:
        self._check_source(body)
        return self._run(body)

    def _run(self, body: Body, **named: Any) -> Run:
        version = self.versions[body["pipeline_version_reference"]["pipeline_version_id"]]
        self.experiments[body["experiment_id"]]["last_run_created_at"] = text(self.now)
        run = Run(
            body=body, created=self.now, script=self.script(body), spec=_spec(version), **named
        )
        self.runs[run.run_id] = run
        return run

    def _check_source(self, body: Body) -> None:
        experiment = self.one(self.experiments, body.get("experiment_id", ""), "Experiment")
        if experiment["storage_state"] == "ARCHIVED":
            raise Refused(400, f"Experiment {experiment['experiment_id']} is archived")
        reference = body.get("pipeline_version_reference") or {}
        self.one(self.pipelines, reference.get("pipeline_id", ""), "Pipeline")
        if "pipeline_version_id" in reference:
            version = self.one(self.versions, reference["pipeline_version_id"], "PipelineVersion")
        else:
            versions = self.versions_of(reference["pipeline_id"])
            if not versions:
                raise Refused(404, "ResourceNotFoundError: PipelineVersion not found")
            version = versions[-1]
            if "trigger" not in body:
                reference["pipeline_version_id"] = version["pipeline_version_id"]
        check_inputs(_spec(version), body.get("runtime_config", {}).get("parameters", {}))

    # ---- recurring runs ------------------------------------------------------------------------

    def create_schedule(self, body: Body) -> Schedule:
        schedules.check(body)
        self._check_source(body)
        made = Schedule(body=body, created=self.now, enabled=body["mode"] == "ENABLE")
        self.schedules[made.recurring_run_id] = made
        self.settle()
        return made

    # ---- helpers -------------------------------------------------------------------------------

    def one(self, things: dict[str, Any], key: str, kind: str) -> Any:
        if key not in things:
            raise Refused(404, f"ResourceNotFoundError: {kind} {key or '(none)'} not found")
        return things[key]

    def _namespace_of(self, body: Body) -> str:
        return self.namespace(body.get("namespace", ""))

    def namespace(self, namespace: str, *, required: bool = True) -> str:
        """The namespace a request is for, empty on a server of one user."""
        if not self.multi_user:
            if namespace:
                raise Refused(
                    400,
                    "Invalid input error: In single-user mode, the API cannot filter by namespace",
                )
            return ""
        if not namespace and required:
            raise Refused(
                400,
                "Invalid input error: A resource cannot have an empty namespace in multi-user mode",
            )
        if namespace and namespace not in self.namespaces:
            raise Refused(
                403, f"PermissionDenied: User is not authorized with namespace {namespace}"
            )
        return namespace


def page_of(things: list[Body], query: dict[str, str], field: str) -> Body:
    """One page of a list: filter by equality, sort, cut."""
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", ()):
        if predicate["operation"] != "EQUALS":
            raise Refused(400, f"the test server does not filter by {predicate['operation']}")
        things = [t for t in things if t.get(predicate["key"]) == predicate["string_value"]]
    if query.get("sort_by"):
        key, _, order = query["sort_by"].partition(" ")
        things = sorted(things, key=lambda t: t.get(key, ""))
        if order == "desc":  # of equal ones the newer first, as ids in a database would have it
            things = list(reversed(things))
    start = int(query.get("page_token") or 0)
    size = int(query.get("page_size") or 20)
    page: Body = {field: things[start : start + size], "total_size": len(things)}
    if start + size < len(things):
        page["next_page_token"] = str(start + size)
    return page


def _spec(version: Body) -> Body:
    told: Body = version["pipeline_spec"]
    spec: Body = told.get("pipeline_spec", told)
    return spec
