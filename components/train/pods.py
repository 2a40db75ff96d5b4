"""What the pods of a TrainJob say when it does not go well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.errors import ClusterError

_STUCK = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "CrashLoopBackOff",
}
SHOWN = 3


def troubles(cluster: Cluster, job: str) -> str:
    """A sentence about the pods of the TrainJob ``job`` that failed or cannot start; may be empty."""
    selector = f"jobset.sigs.k8s.io/jobset-name={job}"
    try:
        pods = cluster.list("v1", "Pod", selector=selector)
    except ClusterError as error:
        return f"Its pods cannot be read ({error.message.rstrip('.')})."
    found = [trouble for pod in pods for trouble in _of(pod)]
    if len(found) > SHOWN:
        found = [*found[:SHOWN], f"and {len(found) - SHOWN} more"]
    return " ".join(f"{trouble}." for trouble in found)


def names(cluster: Cluster, job: str) -> list[str]:
    """Pods of a TrainJob that have not ended."""
    pods = cluster.list("v1", "Pod", selector=f"jobset.sigs.k8s.io/jobset-name={job}")
    ended = ("Succeeded", "Failed")
    return [
        p["metadata"]["name"] for p in pods if (p.get("status") or {}).get("phase") not in ended
    ]


def _of(pod: dict[str, Any]) -> Iterator[str]:
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"Pod {name} has no node: {condition.get('message', '').rstrip('.')}"
    if status.get("reason"):  # Evicted, DeadlineExceeded
        yield f"Pod {name}: {status['reason']} {status.get('message', '').rstrip('.')}".rstrip()
    for container in status.get("containerStatuses", ()):
        state = container.get("state") or {}
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
        waiting = state.get("waiting") or {}
        if ended and ended.get("exitCode"):
            last = (ended.get("message") or "").strip().splitlines()
            said = f": {last[-1].rstrip('.')}" if last else ""
            yield f"Pod {name}: {ended.get('reason', 'Error')} (exit code {ended['exitCode']}){said}"
        elif waiting.get("reason") in _STUCK:
            yield f"Pod {name}: {waiting['reason']} {waiting.get('message', '').rstrip('.')}".rstrip()
