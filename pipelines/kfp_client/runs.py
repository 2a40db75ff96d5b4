"""Starting runs: a version of a pipeline, with parameters, in an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hemix.pipelines.kfp_client import experiments, versions
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection, resolve
from hemix.pipelines.kfp_client.following import ENDED
from hemix.pipelines.kfp_client.lost import is_lost, last_sign
from hemix.pipelines.kfp_client.spec import check_parameters, spec_of
from hemix.pipelines.kfp_client.versions import PipelineVersion
from hemix.progress import say
from hemix.texts.naming import shown_name

EXPERIMENT = "hemix"
SERVICE_ACCOUNT = "hemix-pipeline"
_RECENT = 50


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that was started, or the one that already goes (``started`` is then False)."""

    run_id: str
    version: PipelineVersion
    page: str
    started: bool = True


def submit(
    pipeline: str,
    parameters: Mapping[str, Any],
    *,
    connection: Connection | None = None,
    compiled: str | None = None,
    started: Mapping[str, str] | None = None,
    experiment: str = EXPERIMENT,
    create_experiment: bool = True,
    name: str = "",
    root: str = "",
    service_account: str = SERVICE_ACCOUNT,
    unless_active: bool = False,
) -> Submitted:
    """Start a run of ``pipeline`` on the cluster and return at once.

    What can be refused is refused before the server is changed: parameters are checked here, and
    the experiment is looked up before the version is uploaded. The run is made last.

    Args:
        pipeline: name of the pipeline (``training``, ``retraining``, ...).
        parameters: its parameters, of the types that the pipeline declares.
        connection: where the server is; default: :func:`hemix.pipelines.kfp_client.connection.resolve`,
            which inside a pod finds the server of its own cluster.
        compiled: IR YAML to upload unless the server holds it. Default: the version that was
            uploaded last; a step that triggers a run has nothing to compile.
        started: pipelines that the run starts by itself -> IR YAML, uploaded with this one.
        experiment: KFP experiment that the run stands in.
        create_experiment: make the experiment when absent.
        name: the run's name; default: pipeline and time.
        root: pipeline root (``s3://...``); default: the server's.
        service_account: Kubernetes service account of the run's pods; empty for the server's.
        unless_active: when a run of this pipeline in this experiment has not ended, return that
            one instead of starting a second beside it.

    Raises:
        DefinitionError: a parameter is missing, unknown or of the wrong type, or a name cannot be shown.
        PipelineApiError: no such experiment or pipeline, or the server refuses a value.
        AccessDenied: the token is missing, expired, or without the right.
        EnvironmentProblem: the server is not known or does not answer.
    """
    if name:
        shown_name(name, "--name")
    shown_name(experiment, "--experiment")
    if compiled is not None:
        check_parameters(spec_of(compiled), parameters)
    api = PipelinesApi(connection or resolve())
    version = prepare(api, pipeline, compiled, parameters, experiment, create_experiment)
    for inner, text in (started or {}).items():
        versions.upload(api, inner, text)
    experiment_id = experiments.find_or_create(api, experiment)
    if unless_active:
        active = active_run(api, version.pipeline_id, experiment_id)
        if active is not None:
            page = api.connection.page_of(active.run_id)
            return Submitted(run_id=active.run_id, version=version, page=page, started=False)
    run_id = _start(
        api,
        version,
        parameters,
        experiment_id=experiment_id,
        name=name or f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M%S}",
        root=root,
        service_account=service_account,
    )
    return Submitted(run_id=run_id, version=version, page=api.connection.page_of(run_id))


def prepare(
    api: PipelinesApi,
    pipeline: str,
    compiled: str | None,
    parameters: Mapping[str, Any],
    experiment: str,
    create_experiment: bool,
) -> PipelineVersion:
    """See that the experiment is usable and the version is there; nothing else is made.

    Args:
        api: the server.
        pipeline: name of the pipeline there.
        compiled: IR YAML to upload; None: the newest version on the server.
        parameters: of the run, by name.
        experiment: name of the KFP experiment.
        create_experiment: whether it may be made.

    Raises:
        HemixError: as :func:`submit` does.
    """
    if create_experiment:
        experiments.find(api, experiment)
    else:
        experiments.require(api, experiment)
    if compiled is not None:
        return versions.upload(api, pipeline, compiled)
    version = versions.latest(api, pipeline)
    check_parameters(spec_on_server(api, version), parameters)
    return version


def spec_on_server(api: PipelinesApi, version: PipelineVersion) -> dict[str, Any]:
    """The pipeline spec that the server holds for a version."""
    found = api.read(
        api.pipelines.pipeline_service_get_pipeline_version,
        version.pipeline_id,
        version.version_id,
    )
    return _inner(found.pipeline_spec)


def _inner(told: dict[str, Any] | None) -> dict[str, Any]:
    """The spec itself: with a platform spec beside it, the server tells both."""
    spec: dict[str, Any] = (told or {}).get("pipeline_spec", told or {})
    return spec


def spec_of_run(api: PipelinesApi, run_id: str) -> dict[str, Any]:
    """The pipeline spec of a run.

    Raises:
        PipelineApiError: the server has no such run.
    """
    run = api.read(api.runs.run_service_get_run, run_id=run_id)
    reference = run.pipeline_version_reference
    if reference is None:
        return _inner(run.pipeline_spec)
    version = PipelineVersion(
        pipeline="",
        pipeline_id=reference.pipeline_id,
        name="",
        version_id=reference.pipeline_version_id,
    )
    return spec_on_server(api, version)


def active_run(api: PipelinesApi, pipeline_id: str, experiment_id: str) -> Any | None:
    """The newest run of a pipeline in an experiment that has not ended, or None.

    A run that is lost (:mod:`hemix.pipelines.kfp_client.lost`) is told, and counts as ended.
    """
    recent = api.read(
        api.runs.run_service_list_runs,
        experiment_id=experiment_id,
        page_size=_RECENT,
        sort_by="created_at desc",
    ).runs
    for run in recent or ():
        reference = run.pipeline_version_reference
        if not reference or reference.pipeline_id != pipeline_id or run.state in ENDED:
            continue
        if not is_lost(run, spec_of_run(api, run.run_id), api.now):
            return run
        say(
            f"Run {run.run_id} is {run.state.lower()} since {last_sign(run):%Y-%m-%d %H:%M} by its "
            "record and no step of it may take so long: it is lost. Terminate it on its page: "
            f"{api.connection.page_of(run.run_id)}"
        )
    return None


def _start(
    api: PipelinesApi,
    version: PipelineVersion,
    parameters: Mapping[str, Any],
    *,
    experiment_id: str,
    name: str,
    root: str,
    service_account: str,
) -> str:
    import kfp_server_api

    body = kfp_server_api.V2beta1Run(
        experiment_id=experiment_id,
        display_name=name,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=dict(parameters), pipeline_root=root or None
        ),
        service_account=service_account or None,
    )
    return str(api.write(api.runs.run_service_create_run, body).run_id)
