"""TrainJobs that ended and that no one removed: a step that was killed, or a job that was kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.errors import ClusterError, MissingKind

API_VERSION = "trainer.kubeflow.org/v1alpha1"
OURS = "app.kubernetes.io/managed-by=hemix"
GONE_S = 60.0
"""How long a job may take to disappear."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A TrainJob that ended."""

    name: str
    ended: datetime
    manifest: dict[str, Any]


def ended(cluster: Cluster, days: int, now: datetime) -> list[Job]:
    """TrainJobs of ours that ended more than ``days`` ago; none where there is no Trainer."""
    try:
        found = cluster.list(API_VERSION, "TrainJob", selector=OURS)
    except MissingKind:
        return []
    jobs = []
    for manifest in found:
        for condition in (manifest.get("status") or {}).get("conditions") or ():
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                when = datetime.fromisoformat(condition["lastTransitionTime"])
                if now - when > timedelta(days=days):
                    name = manifest["metadata"]["name"]
                    jobs.append(Job(name=name, ended=when, manifest=manifest))
                break
    return jobs


def remove(cluster: Cluster, job: Job, *, gone_s: float = GONE_S) -> str:
    """Delete a job and look until it is gone; why it stays, when it does."""
    until = time.monotonic() + gone_s
    try:
        cluster.delete(job.manifest)
        while cluster.get(job.manifest) is not None:
            if time.monotonic() > until:
                return f"is still there {gone_s:.0f} s after it was deleted (finalizers?)"
            time.sleep(0.5)
    except ClusterError as error:
        return error.message
    return ""
