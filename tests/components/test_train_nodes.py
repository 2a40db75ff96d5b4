# ruff: noqa: F811
"""Training on several nodes: a TrainJob on a real API server, with a small Trainer of the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hemix import storage
from hemix.components.train import nodes, trainjob
from hemix.components.train.cluster_settings import TrainCluster
from hemix.components.train.step import run
from hemix.components.train.worker import Work
from hemix.errors import DataError, DefinitionError, EnvironmentProblem
from hemix.models.data.toy import toy_spec
from hemix.models.training.checkpoint import NAME
from hemix.models.training.recipes import TrainingConfig, recipe_of
from hemix.models.training.suited import suited
from hemix.pipelines.cleaning import jobs
from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.errors import ClusterError
from hemix.serving.kubernetes.refusals import refusal
from tests.components.trainer import Trainer
from tests.models.files import write_split
from tests.models.training.train_toy import train
from tests.serving.kubernetes.conftest import (  # noqa: F401
    api_server,
    cluster,
    kubeconfig,
    namespace,
    proxy,
)
from tests.serving.kubernetes.core import Server

TRAINING = TrainingConfig(nodes=2, processes=1, batch_size=32)
OVERRIDES = {
    "model.token_width": "8",
    "model.tower": "[8]",
    "model.dropout": "0.1",
    "training.nodes": "2",
    "training.batch_size": "32",
    "training.evaluations": "1",
}
Begin = Callable[[str], Trainer]


@pytest.fixture
def begin(api_server: Server, namespace: str, tmp_path: Path) -> Iterator[Begin]:
    """Starts a Trainer with an outcome."""
    running: list[Trainer] = []

    def start(outcome: str) -> Trainer:
        trainer = Trainer(api_server, namespace, outcome, tmp_path)
        trainer.start()
        running.append(trainer)
        return trainer

    yield start
    for trainer in running:
        trainer.stop()


def settings(**fields: Any) -> TrainCluster:
    return TrainCluster.model_validate({"poll_s": 0.1, **fields})


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Inputs on a shared volume, which is the test's own folder."""
    write_split(tmp_path / "transformed" / "train", rows=200)
    write_split(tmp_path / "transformed" / "validation", rows=81, seed=5)
    toy_spec().write(tmp_path / "transform" / "spec.json")
    return Work(
        recipe=recipe_of("compact", OVERRIDES).model_dump(mode="json"),
        spec=str(tmp_path / "transform" / "spec.json"),
        train=str(tmp_path / "transformed" / "train"),
        validation=str(tmp_path / "transformed" / "validation"),
        checkpoints=str(tmp_path / "shared" / "v1"),
        attempt="0123456789ab",
    )


def on_volume(work: Work, **fields: Any) -> TrainCluster:
    folder = str(Path(work.checkpoints).parent)
    return settings(volume="training", mount_path=folder, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "resources": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"},
            "volume": "training",
            "runtime": "torch-distributed",
            "runtime_kind": "ClusterTrainingRuntime",
            "node_selector": {"gpu": "h200"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "image_pull_secrets": ["registry"],
            "environment": {"NCCL_DEBUG": "WARN"},
        },
    ],
    ids=["as shipped", "everything set"],
)
def test_the_api_server_takes_the_job_as_it_is(
    fields: dict[str, Any],
    cluster: Cluster,
    work: Work,
) -> None:
    manifest = trainjob.render(work, TRAINING, settings(**fields), "v1a2b3c4d5e6f")
    live = cluster.apply(manifest)
    for patch in live["spec"]["runtimePatches"]:
        patch.pop("time", None)
    defaults = {"managedBy": "trainer.kubeflow.org/trainjob-controller", "suspend": False}
    assert live["spec"] == manifest["spec"] | defaults  # and nothing is lost
    assert live["metadata"]["name"] == "hemix-train-v1a2b3c4d5e6f"


def test_a_job_goes_with_its_run(cluster: Cluster, work: Work) -> None:
    """The run's Workflow owns it: not the step's pod, whose second attempt goes on with the job."""
    workflow = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w", "uid": "u-1"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "step-1", "ownerReferences": [{**workflow, "controller": True}]},
    }
    cluster.apply(pod)
    job = trainjob.render(work, TRAINING, settings(), "v1")
    owned = nodes.owned_by_run(cluster, job, "step-1")
    assert owned["metadata"]["ownerReferences"] == [workflow]
    live = cluster.apply(owned)
    assert live["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert nodes.owned_by_run(cluster, job, "no-such-pod") == job
    assert nodes.owned_by_run(cluster, job) == job  # outside of a cluster


def test_a_job_that_is_wrong_is_refused(cluster: Cluster, work: Work) -> None:
    manifest = trainjob.render(work, TRAINING, settings(), "v1")
    manifest["spec"]["trainer"]["numProcPerNode"] = "auto"
    with pytest.raises(ClusterError, match="numProcPerNode"):
        cluster.apply(manifest)


@pytest.mark.parametrize(
    "version", ["v1", "v" + "1" * 12, "release-2026-05-01-with-a-long-name", "Ä"]
)
def test_names_fit_a_cluster(version: str) -> None:
    name = trainjob.job_name(version)
    assert len(name) <= 41
    assert name.strip("abcdefghijklmnopqrstuvwxyz0123456789-") == ""
    assert name != trainjob.job_name(version + "x")


def test_the_step_trains_on_two_nodes_over_s3(
    begin: Begin,
    cluster: Cluster,
    work: Work,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    torch.set_num_threads(1)
    trainer = begin("run")
    monkeypatch.setattr(nodes, "connect", lambda **_: cluster)
    run(
        transformed=tmp_path / "transformed",
        transform=tmp_path / "transform",
        recipe="compact",
        overrides=OVERRIDES,
        version="v1",
        feature_service="ranker_v1",
        checkpoints=f"{bucket}/checkpoints/v1",
        out_model=tmp_path / "model",
        out_curves=tmp_path / "curves",
        cluster="poll_s: 0.2",
    )
    assert len(trainer.seen) == 1
    assert trainer.jobs() == []  # it went well: nothing stays
    log = (tmp_path / "node-0.log").read_text() + (tmp_path / "node-1.log").read_text()
    assert log.count("in 2 processes") == 1
    assert "validation at epoch" in capfd.readouterr().out
    # One process, the same batches: only the rounding of sums may differ.
    rows = tmp_path / "transformed"
    recipe = suited(recipe_of("compact", OVERRIDES), toy_spec(), rows / "train")
    whole = train(rows, tmp_path / "whole", recipe)
    weights = whole.ranker.state_dict()
    for name, tensor in load_file(tmp_path / "model" / "model.safetensors").items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-4, atol=2e-5, msg=name)
    left = storage.list_files(f"{bucket}/checkpoints/v1")
    assert NAME in left
    assert not [name for name in left if name.startswith(("error", "progress"))]
    assert list((tmp_path / "curves" / "tensorboard").iterdir())


def test_an_error_of_a_node_comes_out_by_its_name(
    begin: Begin,
    cluster: Cluster,
    work: Work,
) -> None:
    trainer = begin("")
    settings_ = on_volume(work)

    def node() -> None:  # what a process of the job does when its data are wrong
        while not trainer.seen:
            threading.Event().wait(0.05)
        storage.write_bytes(
            work.error, b'{"type": "DataError", "message": "one class only", "hint": ""}'
        )
        trainer.outcome = "Complete"

    thread = threading.Thread(target=node)
    thread.start()
    with pytest.raises(DataError, match="one class only"):
        nodes.run_nodes(work, TRAINING, settings_, "v1", cluster=cluster)
    thread.join()
    assert [job["metadata"]["name"] for job in trainer.jobs()] == ["hemix-train-v1"]
    assert storage.read_bytes(work.error) is None


@pytest.mark.parametrize(("keep", "stays"), [("never", 0), ("failed", 1)])
def test_a_failed_job_says_what_its_pods_say(
    keep: str,
    stays: int,
    begin: Begin,
    cluster: Cluster,
    work: Work,
    api_server: Server,
    namespace: str,
) -> None:
    pod = {
        "apiVersion": "core.hemix.test/v1",
        "kind": "Pod",
        "metadata": {
            "name": "hemix-train-v1-node-0-1-x7k",
            "labels": {"jobset.sigs.k8s.io/jobset-name": "hemix-train-v1"},
        },
        "status": {
            "containerStatuses": [
                {
                    "name": "node",
                    "state": {
                        "terminated": {
                            "exitCode": 137,
                            "reason": "OOMKilled",
                            "message": "fit step 10/90\nKilled",
                        }
                    },
                }
            ]
        },
    }
    api_server.json("POST", f"/apis/core.hemix.test/v1/namespaces/{namespace}/pods", pod)
    trainer = begin("Failed")
    with pytest.raises(EnvironmentProblem) as caught:
        nodes.run_nodes(work, TRAINING, on_volume(work, keep=keep), "v1", cluster=cluster)
    assert "hemix-train-v1 failed (JobsFailed: jobset failed" in caught.value.message
    assert "node-0-1-x7k: OOMKilled (exit code 137): Killed." in caught.value.message
    assert len(trainer.jobs()) == stays


def test_a_retried_step_goes_on_with_its_job_and_replaces_a_failed_one(
    begin: Begin,
    cluster: Cluster,
    work: Work,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer = begin("Failed")
    with pytest.raises(EnvironmentProblem):
        nodes.run_nodes(work, TRAINING, on_volume(work), "v1", cluster=cluster)
    trainer.outcome = "Complete"
    again = work.model_copy(update={"attempt": "second"})
    nodes.run_nodes(again, TRAINING, on_volume(work, keep="always"), "v1", cluster=cluster)
    assert len(trainer.seen) == 2
    capsys.readouterr()
    third = work.model_copy(update={"attempt": "third"})
    nodes.run_nodes(third, TRAINING, on_volume(work), "v1", cluster=cluster)
    assert len(trainer.seen) == 2
    assert "is there already" in capsys.readouterr().out


def test_the_first_failure_is_final_and_its_job_is_deleted_until_it_is_gone(
    begin: Begin, cluster: Cluster, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = begin("Failed")
    asked: list[str] = []
    real = cluster.delete

    def refused_once(manifest: dict[str, Any]) -> None:
        asked.append(manifest["metadata"]["name"])
        if len(asked) == 1:
            raise ClusterError("The API server answered 500.")
        real(manifest)

    monkeypatch.setattr(cluster, "delete", refused_once)
    with pytest.raises(EnvironmentProblem, match="JobsFailed"):
        nodes.run_nodes(work, TRAINING, on_volume(work, keep="never"), "v1", cluster=cluster)
    assert len(asked) == 2
    assert trainer.jobs() == []
    assert len(trainer.seen) == 1


def test_a_second_training_waits_for_the_pods_of_the_first(
    cluster: Cluster, api_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"jobset.sigs.k8s.io/jobset-name": "hemix-train-v1"}
    for name, phase in (("still", "Running"), ("ended", "Succeeded")):
        metadata = {"name": name, "labels": labels}
        body = {"apiVersion": "core.hemix.test/v1", "kind": "Pod", "metadata": metadata}
        path = f"/apis/core.hemix.test/v1/namespaces/{namespace}/pods"
        api_server.json("POST", path, {**body, "status": {"phase": phase}})
    monkeypatch.setattr(nodes, "GONE_S", 0.1)
    with pytest.raises(ClusterError, match="its pods still run: still"):
        nodes._wait_for_its_pods(cluster, "hemix-train-v1")
    api_server.json("DELETE", f"{path}/still")
    nodes._wait_for_its_pods(cluster, "hemix-train-v1")


def test_a_job_that_was_suspended_and_resumed_runs() -> None:
    conditions = [{"type": "Suspended", "status": "False", "reason": "Resumed"}]
    assert nodes._state({"status": {"conditions": conditions}}, {"ready": 2}) == "its nodes run"
    conditions[0]["status"] = "True"
    assert "suspended" in nodes._state({"status": {"conditions": conditions}}, {"ready": 2})


def test_cleaning_removes_jobs_that_ended_long_ago(
    begin: Begin, cluster: Cluster, work: Work
) -> None:
    trainer = begin("Complete")
    nodes.run_nodes(work, TRAINING, on_volume(work, keep="always"), "v1", cluster=cluster)
    now = datetime(2026, 1, 4, tzinfo=UTC)  # the Trainer of the tests dates everything 2026-01-01
    assert jobs.ended(cluster, 5, now) == []
    (found,) = jobs.ended(cluster, 2, now)
    assert jobs.remove(cluster, found) == ""
    assert trainer.jobs() == []
    assert jobs.remove(cluster, found) == ""
    held = {**found.manifest, "metadata": {**found.manifest["metadata"], "finalizers": ["x/held"]}}
    for key in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
        held["metadata"].pop(key, None)
    cluster.apply({k: held[k] for k in ("apiVersion", "kind", "metadata", "spec")})
    assert "still there 0 s after" in jobs.remove(cluster, found, gone_s=0.1)
    cluster.apply({**{k: held[k] for k in ("apiVersion", "kind", "spec")},
                   "metadata": {**held["metadata"], "finalizers": []}})  # fmt: skip


def test_a_job_that_does_not_start_is_stopped(
    begin: Begin,
    cluster: Cluster,
    work: Work,
) -> None:
    trainer = begin("")
    with pytest.raises(EnvironmentProblem, match="did not start within 1 s; it is stopped"):
        nodes.run_nodes(work, TRAINING, on_volume(work, start_timeout_s=1), "v1", cluster=cluster)
    assert len(trainer.seen) == 1
    assert trainer.jobs() == []


def test_an_api_server_without_trainer_is_named(
    cluster: Cluster,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainjob, "API_VERSION", "trainer.absent.test/v1alpha1")
    with pytest.raises(ClusterError, match=r"knows no TrainJob") as caught:
        nodes.run_nodes(work, TRAINING, on_volume(work), "v1", cluster=cluster)
    assert "Install Kubeflow Trainer" in caught.value.hint


def test_a_namespace_that_is_not_there_is_named() -> None:
    body = b'{"kind":"Status","code":404,"message":"namespaces \\"nowhere\\" not found"}'
    error = refusal(404, body, "apply TrainJob hemix-train-v1", "nowhere")
    assert "no namespace nowhere" in error.message


def test_what_nodes_cannot_see_is_refused(work: Work) -> None:
    with pytest.raises(DefinitionError, match="cannot be seen by other nodes"):
        nodes.run_nodes(work, TRAINING, settings(), "v1")
    with pytest.raises(DefinitionError, match="cannot be seen by other nodes"):
        nodes.run_nodes(work, TRAINING, settings(volume="v", mount_path="/elsewhere"), "v1")


@pytest.mark.parametrize(
    ("text", "named"),
    [("nodes: 2", "nodes"), ("namespace: Not_A_Name", "namespace"), ("keep: [", "not valid YAML")],
)
def test_settings_that_are_wrong_are_named(text: str, named: str) -> None:
    with pytest.raises(DefinitionError, match=named):
        TrainCluster.parse(text)
