"""Submitting: what is uploaded, what is made, and what is left when something is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from hemix.errors import DefinitionError
from hemix.pipelines.kfp_client import experiments, versions
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.errors import PipelineApiError
from hemix.pipelines.kfp_client.lost import UNSAID, longest
from hemix.pipelines.kfp_client.runs import submit
from tests.kfp_server import KfpServer
from tests.kfp_server.timeline import Script
from tests.pipelines.client.conftest import TOKEN, Start

pytestmark = pytest.mark.usefixtures("no_waits")


def test_the_first_submission_makes_everything(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    made = submit("small", {"day": "2022-05-01"}, connection=connection, compiled=small)
    assert kfp.writes() == [
        "PipelineService_CreatePipeline",
        "UploadPipelineVersion",
        "ExperimentService_CreateExperiment",
        "RunService_CreateRun",
    ]
    run = kfp.runs[made.run_id]
    assert run.body["runtime_config"] == {"parameters": {"day": "2022-05-01"}}
    assert run.body["service_account"] == "hemix-pipeline"
    assert kfp.experiments[run.body["experiment_id"]]["display_name"] == "hemix"
    assert made.version.uploaded
    assert made.version.name == versions.version_name("small", small)
    assert made.page == f"{kfp.url}/#/runs/details/{made.run_id}"


def test_the_same_content_is_uploaded_once(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    first = submit("small", {"day": "a"}, connection=connection, compiled=small)
    kfp.calls.clear()
    second = submit("small", {"day": "b"}, connection=connection, compiled=small)
    assert kfp.writes() == ["RunService_CreateRun"]
    assert second.version.version_id == first.version.version_id
    assert not second.version.uploaded
    changed = submit("small", {"day": "b"}, connection=connection, compiled=small + "# more\n")
    assert changed.version.uploaded
    assert changed.version.pipeline_id == first.version.pipeline_id
    assert len(kfp.versions) == 2


def test_without_content_the_newest_version_runs(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    submit("small", {"day": "a"}, connection=connection, compiled=small)
    kfp.advance(1)
    newest = submit("small", {"day": "a"}, connection=connection, compiled=small + "# more\n")
    triggered = submit("small", {"day": "b"}, connection=connection)
    assert triggered.version.version_id == newest.version.version_id
    with pytest.raises(DefinitionError, match="needs day"):
        submit("small", {}, connection=connection)


def test_an_unknown_pipeline_is_named(kfp: KfpServer, connection: Connection) -> None:
    with pytest.raises(PipelineApiError, match="no pipeline 'absent'"):
        submit("absent", {}, connection=connection)
    assert kfp.writes() == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "needs day"),
        ({"day": "x", "colour": "red"}, "no parameter 'colour'"),
        ({"day": 7}, "day"),
        ({"day": "x", "steps": "many"}, "steps"),
        ({"day": "x", "steps": True}, "steps"),
    ],
)
def test_wrong_parameters_reach_no_server(
    kfp: KfpServer, connection: Connection, small: str, parameters: dict[str, object], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        submit("small", parameters, connection=connection, compiled=small)
    assert kfp.calls == []


def test_a_missing_experiment_leaves_the_server_as_it_was(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    with pytest.raises(PipelineApiError, match=r"no experiment 'hemix'.*--create-experiment"):
        submit(
            "small", {"day": "x"}, connection=connection, compiled=small, create_experiment=False
        )
    assert kfp.writes() == []


def test_an_archived_experiment_is_said(kfp: KfpServer, connection: Connection, small: str) -> None:
    submit("small", {"day": "x"}, connection=connection, compiled=small)
    for experiment in kfp.experiments.values():
        experiment["storage_state"] = "ARCHIVED"
    with pytest.raises(PipelineApiError, match="archived"):
        submit("small", {"day": "x"}, connection=connection, compiled=small)


Break = Callable[[KfpServer], None]


def _while_uploading(kfp: KfpServer) -> None:
    kfp.upload_version = lambda *_: 1 / 0  # type: ignore[method-assign, assignment, return-value]


def _while_starting(kfp: KfpServer) -> None:
    kfp.create_run = lambda *_: 1 / 0  # type: ignore[method-assign, assignment, return-value]


def test_a_pipeline_that_could_not_be_filled_is_taken_away(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    _while_uploading(kfp)
    with pytest.raises(PipelineApiError, match="division by zero"):
        submit("small", {"day": "x"}, connection=connection, compiled=small)
    assert (kfp.pipelines, kfp.experiments, kfp.runs) == ({}, {}, {})


def test_after_a_failed_start_the_next_submission_uploads_nothing(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    _while_starting(kfp)
    with pytest.raises(PipelineApiError):
        submit("small", {"day": "x"}, connection=connection, compiled=small)
    del kfp.create_run
    kfp.calls.clear()
    submit("small", {"day": "x"}, connection=connection, compiled=small)
    assert kfp.writes() == ["RunService_CreateRun"]


def test_what_the_server_refuses_is_told_in_its_words(
    kfp: KfpServer, connection: Connection
) -> None:
    with pytest.raises(PipelineApiError, match="no pipeline spec is provided"):
        versions.upload(PipelinesApi(connection), "odd", "pipelineInfo: {name: odd}\n")
    assert kfp.pipelines == {}


def test_a_second_run_is_not_started_beside_an_active_one(
    kfp: KfpServer, connection: Connection, small: str
) -> None:
    first = submit("small", {"day": "x"}, connection=connection, compiled=small)
    kfp.advance(30)
    again = submit("small", {"day": "y"}, connection=connection, unless_active=True)
    assert (again.run_id, again.started) == (first.run_id, False)
    kfp.advance(600)
    assert kfp.runs[first.run_id].state == "SUCCEEDED"
    later = submit("small", {"day": "y"}, connection=connection, unless_active=True)
    assert later.started
    assert later.run_id != first.run_id


def test_a_run_whose_workflow_is_gone_holds_nothing_up(
    kfp: KfpServer, connection: Connection, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record says RUNNING for ever; no step of it may take so long."""
    kfp.script = lambda _: Script(task_s=1e7)
    first = submit("small", {"day": "x"}, connection=connection, compiled=small)
    kfp.advance(47 * 3600)
    again = submit("small", {"day": "y"}, connection=connection, unless_active=True)
    assert again.run_id == first.run_id
    kfp.advance(3 * 3600)
    later = submit("small", {"day": "y"}, connection=connection, unless_active=True)
    assert later.started
    told = capsys.readouterr().out
    assert f"Run {first.run_id} is running since 2022-05-02 00:00" in told
    assert connection.page_of(first.run_id) in told


def test_how_long_a_step_may_take_is_said_by_its_pipeline() -> None:
    task = {"retryPolicy": {"backoffMaxDuration": "7200s"}}
    longer = {"retryPolicy": {"backoffMaxDuration": "324180s"}}
    spec = {"root": {"dag": {"tasks": {"a": task}}}, "components": {"c": {"dag": {"tasks": {"b": longer}}}}}  # fmt: skip
    assert longest(spec) == timedelta(seconds=324_180)
    assert longest({"root": {}}) == UNSAID


def test_in_a_namespace_everything_is_in_it(start: Start, small: str) -> None:
    server = start(multi_user=True, namespaces=("hemix",))
    told = Connection(host=server.url, token=TOKEN, namespace="hemix")
    made = submit("small", {"day": "x"}, connection=told, compiled=small, root="s3://b/p")
    assert server.pipelines[made.version.pipeline_id]["namespace"] == "hemix"
    run = server.runs[made.run_id]
    assert server.experiments[run.body["experiment_id"]]["namespace"] == "hemix"
    assert run.body["runtime_config"]["pipeline_root"] == "s3://b/p"


def test_a_run_is_found_by_its_environment(
    kfp: KfpServer, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a step that triggers a run calls it: nothing given, all from the environment."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("HEMIX_KFP_HOST", kfp.url)
    monkeypatch.setenv("HEMIX_KFP_TOKEN", TOKEN)
    monkeypatch.setenv("HEMIX_KFP_NAMESPACE", "hemix")
    submit("small", {"day": "x"}, compiled=small)
    assert experiments.require(PipelinesApi(Connection(host=kfp.url, token=TOKEN)), "hemix")
    assert len(kfp.runs) == 1


@pytest.mark.parametrize(
    "names",
    [{"experiment": "  "}, {"experiment": "a\nb"}, {"name": "x\x1b[31m"}, {"name": "y" * 200}],
)
def test_a_name_that_cannot_be_shown_is_refused_before_anything_is_made(
    kfp: KfpServer, connection: Connection, small: str, names: dict[str, str]
) -> None:
    with pytest.raises(DefinitionError, match=f"--{next(iter(names))}"):
        submit("small", {"day": "a"}, connection=connection, compiled=small, **names)
    assert kfp.writes() == []
