"""hemix submit and hemix schedule, from the command line to the server."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from hemix.features.beam.runner_config import runner_flags
from hemix.features.definition import DatasetDefinition
from tests.kfp_server import KfpServer, Script
from tests.pipelines.client.conftest import Hemix

LOG = ("--set", "root=s3://logs/kuairand", "--root", "s3://ranker/hemix")


def test_submit_follows_a_run_to_its_success(kfp: KfpServer, hemix: Hemix) -> None:
    kfp.seconds_per_look = 45
    code, out, err = hemix("submit", "retraining", *LOG, "--poll", "0")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Version retraining-")
    assert lines[0].endswith(": uploaded.")
    assert "[ 1/12] plan succeeded (60 s)" in lines
    assert "[12/12] report succeeded (60 s)" in lines
    assert lines[-1].endswith("succeeded.")
    (run,) = kfp.runs.values()
    assert run.body["runtime_config"]["pipeline_root"] == "s3://ranker/hemix/pipeline"
    parameters = run.body["runtime_config"]["parameters"]
    assert parameters["registry"] == "s3://ranker/hemix/registry"
    assert json.loads(parameters["definition"])["root"] == "s3://logs/kuairand"


def test_submit_again_uploads_nothing(kfp: KfpServer, hemix: Hemix) -> None:
    hemix("submit", "retraining", *LOG, "--no-follow")
    code, out, _ = hemix("submit", "retraining", *LOG, "--no-follow", "--name", "by-hand")
    assert code == 0
    assert "already on the server" in out
    assert len(kfp.versions) == 1
    assert [run.body["display_name"] for run in kfp.runs.values()][1] == "by-hand"


def test_settings_are_compiled_in(kfp: KfpServer, hemix: Hemix, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("images: {prefix: registry.local/ranker, tag: 1.2.3}\n")
    code, _, err = hemix("submit", "retraining", *LOG, "--no-follow", "--settings", "cluster.yaml")
    assert (code, err) == (0, "")
    (version,) = kfp.versions.values()
    assert "registry.local/ranker/train:1.2.3" in json.dumps(version["pipeline_spec"])
    assert "platforms" in version["pipeline_spec"]["platform_spec"]


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (Script(outputs={"validate-features": False}), 4, "Gate validate-features stopped run"),
        (Script(fails={"train": "Error (exit code 137)"}), 1, "train: Error (exit code 137)"),
    ],
)
def test_submit_exits_with_the_outcome(
    kfp: KfpServer, hemix: Hemix, script: Script, code: int, words: str
) -> None:
    kfp.seconds_per_look = 45
    kfp.script = lambda run: script
    found, _, err = hemix("submit", "retraining", *LOG, "--poll", "0")
    assert found == code
    assert words in err
    assert kfp.url in err


def test_attach_follows_a_run_that_goes(kfp: KfpServer, hemix: Hemix) -> None:
    hemix("submit", "retraining", *LOG, "--no-follow")
    (run_id,) = kfp.runs
    kfp.seconds_per_look = 45
    code, out, _ = hemix("submit", "--attach", run_id, "--poll", "0")
    assert code == 0
    assert "[ 1/12] plan succeeded" in out
    assert len(kfp.runs) == 1


def test_attach_to_an_unknown_run(hemix: Hemix) -> None:
    code, _, err = hemix("submit", "--attach", "absent")
    assert code == 12
    assert "absent" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["submit", "nosuch"], 2, "'nosuch'"),
        (["submit", "retraining", "--root", "s3://b/p"], 2, "on this machine"),
        (["submit", "retraining", *LOG[:2]], 2, "--root"),
        (["submit", "retraining", *LOG, "--settings", "absent.yaml"], 2, "absent.yaml"),
        (["submit", "retraining", *LOG, "--param", "colour=red"], 2, "colour"),
        (["submit", "retraining", *LOG, "--timeout", "soon"], 2, "--timeout"),
        (["submit", "retraining", *LOG, "--no-create-experiment"], 12, "no experiment 'hemix'"),
        (["submit", "retraining", *LOG, "--token", "expired"], 11, "expired"),
        (["submit", "retraining", *LOG, "--host", "http://127.0.0.1:9"], 10, "does not answer"),
        (["schedule", "create", "x", *LOG], 2, "--cron"),
        (["schedule", "create", "x", *LOG, "--cron", "0 25 * * *"], 2, "hours"),
        (["schedule", "create", "x", *LOG, "--every", "1d", "--cron", "@daily"], 2, "either"),
        (
            ["schedule", "create", "x", *LOG, "--every", "1d", "--max-concurrency", "0"],
            2,
            "1 to 10",
        ),
        (["schedule", "pause", "x"], 12, "no experiment"),
        (["backfill", "--from", "2022-05-02", "--to", "2022-05-01", *LOG], 2, "before"),
    ],
)
def test_errors_are_one_message_and_change_nothing(
    kfp: KfpServer, hemix: Hemix, arguments: list[str], code: int, words: str
) -> None:
    found, _, err = hemix(*arguments)
    assert (found, words in err) == (code, True), err
    assert err.startswith("Error: ")
    assert len(err.strip().splitlines()) <= 2
    assert kfp.writes() == []


def test_a_schedule_from_its_making_to_its_end(kfp: KfpServer, hemix: Hemix) -> None:
    create = ("schedule", "create", "nightly", "--cron", "0 3 * * *", *LOG)
    assert hemix("schedule", "list")[1].strip() == "Experiment hemix has no schedule."
    code, out, err = hemix(*create)
    assert (code, err) == (0, "")
    assert "Schedule nightly created" in out
    assert "unchanged" in hemix(*create)[1]
    kfp.script = lambda run: Script(task_s=1)
    kfp.advance(timedelta(days=2))
    parameters = [run.body["runtime_config"]["parameters"] for run in kfp.runs.values()]
    assert [p["scheduled_time"] for p in parameters] == ["[[ScheduledTime]]"] * 2
    # What a request sees between two publications is what the evaluation may see.
    assert {json.loads(p["definition"])["sequences"]["serving_lag"] for p in parameters} == {86_400}
    listed = hemix("schedule", "list")[1]
    for word in ("nightly", "retraining", "0 0 3 * * *", "latest", "succeeded, 2022-05-03 03:00"):
        assert word in listed
    assert "is paused" in hemix("schedule", "pause", "nightly")[1]
    assert "paused" in hemix("schedule", "list")[1]
    assert "is on" in hemix("schedule", "resume", "nightly")[1]
    assert "is deleted" in hemix("schedule", "delete", "nightly")[1]
    code, _, err = hemix("schedule", "delete", "nightly")
    assert (code, "no schedule 'nightly'" in err) == (12, True)
    assert len(kfp.runs) == 2
    hemix(*create, "--set", "sequences.serving_lag=0")
    (schedule,) = kfp.schedules.values()
    told = json.loads(schedule.body["runtime_config"]["parameters"]["definition"])
    assert told["sequences"]["serving_lag"] == 0


def test_the_watchers_schedule_from_its_making_to_its_runs(kfp: KfpServer, hemix: Hemix) -> None:
    """As the operator guide says it: what a failed verdict would start is worked out when it is made."""
    create = ("schedule", "create", "watch", "--pipeline", "monitoring", "--every", "1h", *LOG)
    code, out, err = hemix(*create, "--param", "outcomes=s3://logs/outcomes")
    assert (code, err) == (0, "")
    assert "Schedule watch created" in out
    kfp.script = lambda run: Script(task_s=1)
    kfp.advance(timedelta(hours=3, minutes=30))
    assert len(kfp.runs) == 3
    (asked,) = {
        json.dumps(run.body["runtime_config"]["parameters"], sort_keys=True)
        for run in kfp.runs.values()
    }
    told = json.loads(asked)
    assert told["outcomes"] == "s3://logs/outcomes"
    assert told["exposures"].endswith("/exposures")
    assert told["feature_store"].endswith("/feature_store")
    assert {"checkpoints", "definition", "feature_store", "registry"} <= set(told["parameters"])
    listed = hemix("schedule", "list")[1]
    for word in ("watch", "monitoring", "succeeded"):
        assert word in listed
    assert "is deleted" in hemix("schedule", "delete", "watch")[1]


@pytest.mark.parametrize(
    "command",
    [
        ("submit", "retraining", "--no-follow"),
        ("schedule", "create", "nightly", "--cron", "0 3 * * *"),
        ("backfill", "--from", "2022-04-25", "--to", "2022-04-27", "--no-follow"),
    ],
)
def test_runner_options_are_read_as_hemix_run_reads_them(
    kfp: KfpServer, hemix: Hemix, small_definition: DatasetDefinition, command: tuple[str, ...]
) -> None:
    log = ("--set", f"root={small_definition.root}", "--paths-in-pods", "--root", "s3://ranker/x")
    text = "{runner: direct, processes: 3}"
    code, _, err = hemix(*command, *log, "--runner-options", text)
    assert (code, err) == (0, "")
    (made,) = (*kfp.runs.values(), *kfp.schedules.values())
    found = made.body["runtime_config"]["parameters"]["runner_options"]
    assert found == list(runner_flags(text))
    code, _, err = hemix(*command, *log, "--runner-options", "{runner: nosuch}")
    assert code == 2, err
    assert "runner" in err


def test_help_has_examples(hemix: Hemix) -> None:
    for command in (
        ["submit"],
        ["backfill"],
        *(["schedule", c] for c in ["create", "list", "pause"]),
    ):
        code, out, _ = hemix(*command, "--help")
        assert code == 0
        assert f"hemix {' '.join(command)} " in out.split("Options")[0].split("Usage", 1)[1]
