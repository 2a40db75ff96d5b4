"""Training on several nodes: the TrainJob is created, followed to its end, and cleared away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hemix import storage
from hemix.components.train import pods
from hemix.components.train.cluster_settings import TrainCluster
from hemix.components.train.trainjob import ATTEMPT, WORK, Manifest, render
from hemix.components.train.worker import Work
from hemix.errors import DefinitionError, EnvironmentProblem
from hemix.progress import say
from hemix.serving.kubernetes.api import Cluster, connect
from hemix.serving.kubernetes.errors import ClusterError, Forbidden, MissingKind

if TYPE_CHECKING:
    from hemix.models.training.recipes import TrainingConfig

INPUTS = "inputs"
Outcome = Literal["complete", "failed", "stopped"]
STAYS: dict[str, tuple[Outcome, ...]] = {
    "never": (),
    "failed": ("failed",),
    "always": ("complete", "failed"),
}
"""What becomes of the object; a job that is stopped is stopped by deleting it."""
PATIENCE_S = 300.0
"""How long the API server may be away while a job is followed."""
GONE_S = 120.0
"""How long a deleted job may take to disappear."""
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def run_nodes(
    work: Work,
    training: TrainingConfig,
    settings: TrainCluster,
    version: str,
    *,
    cluster: Cluster | None = None,
) -> None:
    """Train as a TrainJob to the end; the checkpoint is then at ``work.checkpoints``.

    A job of the same work that is there already (an earlier attempt of this step made it) is
    followed and not made again.

    Args:
        work: what each process reads and writes.
        training: processes and nodes.
        settings: of the job.
        version: the version that is trained; part of the job's name.
        cluster: by default that of this pod or of the kubeconfig.

    Raises:
        DefinitionError: the nodes and this step would not see the same checkpoints.
        ClusterError: the cluster refused the job; nothing runs.
        EnvironmentProblem: the job failed, or did not start or end in time; it is stopped.
        HemixError: what ended the training, as a process wrote it.
    """
    _check_shared(work, settings)
    cluster = cluster or connect(namespace=settings.namespace or _namespace())
    work = _share_inputs(work)
    manifest = owned_by_run(cluster, render(work, training, settings, version))
    name = manifest["metadata"]["name"]
    with _terminated_is_an_error():
        work = _start(cluster, manifest, work)
        outcome: Outcome = "stopped"
        try:
            try:
                _follow(cluster, manifest, work, settings)
                outcome = "complete"
            except _Failed as error:
                outcome = "failed"
                raise work.failure() or EnvironmentProblem(error.message, hint=error.hint) from None
            if failure := work.failure():
                outcome = "failed"
                raise failure
        finally:
            if outcome in STAYS[settings.keep]:
                say(f"TrainJob {name} stays in namespace {cluster.namespace}.")
            else:
                try:
                    _remove(cluster, manifest)
                except ClusterError as error:  # what ended the training is told, and not this alone
                    say(f"{error.message} {error.hint} The cleaning pipeline tries again.")
            work.clear()


def owned_by_run(cluster: Cluster, manifest: Manifest, pod: str = "") -> Manifest:
    """The job with the run's Workflow as its owner, so that it goes when the run is removed.

    Not the step's pod: its second attempt goes on with the job of the first. Outside of a cluster, or
    where the job lies in another namespace than the step, it has no owner.
    """
    name = pod or os.environ.get("KFP_POD_NAME", "")
    if not name or (not pod and cluster.namespace != _namespace()):
        return manifest
    try:
        live = cluster.get({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}})
    except (Forbidden, MissingKind):
        return manifest
    owners = ((live or {}).get("metadata") or {}).get("ownerReferences") or ()
    workflow = next((o for o in owners if o.get("kind") == "Workflow"), None)
    if workflow is None:
        return manifest
    keys = ("apiVersion", "kind", "name", "uid")
    reference = {key: workflow[key] for key in keys}
    metadata = {**manifest["metadata"], "ownerReferences": [reference]}
    return {**manifest, "metadata": metadata}


class _Failed(EnvironmentProblem):
    """The job ended, and not well."""


def _check_shared(work: Work, settings: TrainCluster) -> None:
    inside = settings.volume and Path(work.checkpoints).is_relative_to(settings.mount_path)
    if not storage.is_remote(work.checkpoints) and not inside:
        raise DefinitionError(
            f"The checkpoints at {work.checkpoints} cannot be seen by other nodes.",
            hint="Set checkpoints to s3://bucket/prefix, or give volume and mount_path of a "
            "ReadWriteMany claim in the cluster settings.",
        )


def _namespace() -> str:
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.is_file() else "hemix"


def _share_inputs(work: Work) -> Work:
    """Put what the nodes read beside the checkpoints; what is there already is not sent again."""
    places = {}
    for name in ("spec", "train", "validation"):
        places[name] = storage.join(work.checkpoints, INPUTS, name)
        storage.upload(Path(getattr(work, name)), places[name], replace=True)
    return work.model_copy(update=places)


def _start(cluster: Cluster, manifest: Manifest, work: Work) -> Work:
    """Create the job, or find that it is there; returns the work with the job's own attempt."""
    name = manifest["metadata"]["name"]
    try:
        live = cluster.get(manifest)
        if live is not None:
            annotations = live["metadata"].get("annotations", {})
            if annotations.get(WORK) == manifest["metadata"]["annotations"][
                WORK
            ] and not _condition(live, "Failed"):
                say(f"TrainJob {name} is there already; going on with it.")
                return work.model_copy(update={"attempt": annotations[ATTEMPT]})
            _remove(cluster, manifest)
            _wait_for_its_pods(cluster, name)
        cluster.apply(manifest)
    except MissingKind as error:
        raise ClusterError(error.message, hint="Install Kubeflow Trainer 2.2 or later.") from error
    except Forbidden as error:
        raise Forbidden(
            error.message, hint="The step's service account may not manage TrainJobs: see infra/."
        ) from error
    say(f"TrainJob {name} created in namespace {cluster.namespace}.")
    return work


def _remove(cluster: Cluster, manifest: Manifest) -> None:
    """Delete a job, and again, until it is gone: one that stays would hold its GPUs."""
    until = time.monotonic() + GONE_S
    while True:
        late = time.monotonic() > until
        try:
            cluster.delete(manifest)
            if cluster.get(manifest) is None:
                return
        except ClusterError as error:
            if late or isinstance(error, Forbidden | MissingKind):
                raise
            say(f"{error.message} Trying again.")
        if late:
            raise ClusterError(
                f"TrainJob {manifest['metadata']['name']} was deleted {GONE_S:.0f} s ago and is "
                "still there.",
                hint="See its finalizers: kubectl get trainjob -o yaml.",
            )
        time.sleep(0.5)


def _wait_for_its_pods(cluster: Cluster, name: str) -> None:
    """The nodes of a job that is gone end after it; two may not write to one checkpoint."""
    until = time.monotonic() + GONE_S
    while left := pods.names(cluster, name):
        if time.monotonic() > until:
            raise ClusterError(
                f"The TrainJob {name} was deleted {GONE_S:.0f} s ago and its pods still run: "
                f"{', '.join(left)}.",
                hint="Delete them, then run the step again: it resumes from the checkpoint.",
            )
        time.sleep(0.5)


def _follow(cluster: Cluster, manifest: Manifest, work: Work, settings: TrainCluster) -> None:
    name = manifest["metadata"]["name"]
    started = time.monotonic()
    seen = _Seen(say)
    running = False
    while True:
        live = _look(cluster, manifest, seen)
        if live is None:
            raise ClusterError(f"TrainJob {name} was deleted by someone while it ran.")
        if _condition(live, "Complete"):
            return
        if failed := _condition(live, "Failed"):
            reason = f"{failed.get('reason', '')}: {failed.get('message', '')}".rstrip(".")
            raise _Failed(
                f"TrainJob {name} failed ({reason}). {pods.troubles(cluster, name)}".strip(),
                hint="The same run again resumes from the checkpoint.",
            )
        line = storage.read_bytes(work.progress)
        jobs = {job["name"]: job for job in (live.get("status") or {}).get("jobsStatus", ())}
        nodes = jobs.get("node", {})
        running = running or line is not None or nodes.get("ready", 0) > 0
        seen.tell(line.decode() if line else f"TrainJob {name}: {_state(live, nodes)}")
        passed = time.monotonic() - started
        if not running and passed > settings.start_timeout_s:
            raise EnvironmentProblem(
                f"TrainJob {name} did not start within {settings.start_timeout_s} s; it is stopped. "
                f"{pods.troubles(cluster, name)}".strip(),
                hint="Free the resources it asks for, or set start_timeout_s.",
            )
        if passed > settings.timeout_s:
            raise EnvironmentProblem(
                f"TrainJob {name} did not end within {settings.timeout_s} s; it is stopped.",
                hint="Set timeout_s higher; the same run again goes on from the checkpoint.",
            )
        time.sleep(settings.poll_s)


class _Seen:
    """Tells a line once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._last = tell, ""
        self.away_since: float | None = None

    def tell(self, line: str) -> None:
        if line != self._last:
            self._tell(line)
            self._last = line


def _look(cluster: Cluster, manifest: Manifest, seen: _Seen) -> Manifest | None:
    """The job as it is; an API server that is away is waited for."""
    while True:
        try:
            live = cluster.get(manifest)
            seen.away_since = None
            return live
        except ClusterError as error:
            now = time.monotonic()
            seen.away_since = seen.away_since or now
            if isinstance(error, Forbidden | MissingKind) or now - seen.away_since > PATIENCE_S:
                raise
            seen.tell(f"{error.message} The job continues; looking again.")
            time.sleep(5.0)


def _condition(live: Manifest, kind: str) -> dict[str, Any] | None:
    for condition in (live.get("status") or {}).get("conditions", ()):
        if condition["type"] == kind and condition["status"] == "True":
            return dict(condition)
    return None


def _state(live: Manifest, nodes: dict[str, Any]) -> str:
    if suspended := _condition(live, "Suspended"):
        return f"suspended ({suspended.get('reason', '')})"
    if not nodes:
        return "waiting for its nodes"
    return "its nodes run" if nodes.get("ready") else "its nodes start"


@contextmanager
def _terminated_is_an_error() -> Iterator[None]:
    """SIGTERM (the run was cancelled) raises SystemExit, so that ``finally`` blocks stop the job."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
