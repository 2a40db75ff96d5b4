"""Whether what was applied works: conditions of InferenceServices, routes, and Deployments' rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.errors import DeploymentFailed, Forbidden, MissingKind
from hemix.serving.kubernetes.manifests.names import Manifest, title
from hemix.serving.kubernetes.manifests.settings import Timeouts

Say = Callable[[str], None]

_SERVICE = "InferenceService"
_AWAITED = (_SERVICE, "HTTPRoute", "ScaledObject")


@dataclass(frozen=True)
class Look:
    """What one look at an object found; ``broken`` means that waiting will not help."""

    ready: bool
    why: str = ""
    broken: bool = False


def wait_ready(
    cluster: Cluster, manifests: Sequence[Manifest], timeouts: Timeouts, say: Say
) -> None:
    """Wait until all are ready, and stay so for ``timeouts.settled``.

    A change to a running InferenceService leaves its Ready condition true for a moment, and KServe
    0.20 copies ``observedGeneration`` from a child object (kserve issue 6081), so that it tells
    nothing. What lasts is believed; the Deployment's own rollout is looked at where we may read it.

    Raises:
        DeploymentFailed: too late, or something that will not mend; names object and reason.
    """
    awaited = [manifest for manifest in manifests if manifest["kind"] in _AWAITED]
    end = time.monotonic() + timeouts.ready
    since: float | None = None
    told: dict[str, str] = {}
    while awaited:
        looks = {title(manifest): _look(cluster, manifest) for manifest in awaited}
        for name, look in looks.items():
            state = "ready" if look.ready else look.why
            if told.get(name) != state:
                say(f"  {name}: {state}")
                told[name] = state
        late = [f"{name}: {look.why}" for name, look in looks.items() if not look.ready]
        broken = [f"{name}: {look.why}" for name, look in looks.items() if look.broken]
        now = time.monotonic()
        if not late:
            since = now if since is None else since
            if now - since >= timeouts.settled:
                return
        else:
            since = None
        if broken or (late and now >= end):
            when = "" if broken else f" after {timeouts.ready:g} s"
            raise DeploymentFailed(
                f"Not ready{when}: {'; '.join(broken or late)}",
                hint=f"See kubectl describe and the pods' logs in namespace {cluster.namespace}.",
            )
        time.sleep(timeouts.poll)


def _look(cluster: Cluster, manifest: Manifest) -> Look:
    live = cluster.get(manifest)
    if live is None:
        return Look(False, "it was deleted", broken=True)
    if manifest["kind"] == "HTTPRoute":
        return route_look(live)
    if manifest["kind"] == "ScaledObject":
        return scaled_look(live)
    look = service_look(live)
    if look.ready or look.broken:
        return _rollout(cluster, live) if look.ready else look
    why = _rollout(
        cluster, live
    )  # KServe says "not ready"; the Deployment knows that it is refused
    return why if why.broken else look


def service_look(live: Manifest) -> Look:
    """From an InferenceService's conditions and its model's state."""
    status = live.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    ready = conditions.get("Ready", {})
    wanted = [("Ready", ready)]
    if live["spec"].get("canary"):
        wanted.append(("CanaryReady", conditions.get("CanaryReady", {})))
    if "LatestDeploymentReady" in conditions:
        wanted.append(("LatestDeploymentReady", conditions["LatestDeploymentReady"]))
    if all(condition.get("status") == "True" for _, condition in wanted):
        return Look(True)
    model = status.get("modelStatus") or {}
    failure = model.get("lastFailureInfo") or {}
    reasons = [
        f"{name} {_text(condition)}"
        for name, condition in conditions.items()
        if condition["status"] != "True" and (name != "Ready" or len(conditions) == 1)
    ]
    if failure:
        reasons.append(f"{failure.get('reason', 'failure')}: {failure.get('message', '')}".strip())
    # The webhook lets wrong specs through that the controller then refuses for good.
    broken = model.get("transitionStatus") == "InvalidSpec"
    return Look(False, ", ".join(reasons) or "waiting for KServe", broken=broken)


def route_look(live: Manifest) -> Look:
    """A route counts when each of its parents has accepted it and found its services."""
    parents = (live.get("status") or {}).get("parents", [])
    if len(parents) < len(live["spec"].get("parentRefs", ())):
        return Look(False, "waiting for the gateway")
    for parent in parents:
        for condition in parent.get("conditions", ()):
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] != "True":
                return Look(False, f"{condition['type']} {_text(condition)}")
    return Look(True)


def scaled_look(live: Manifest) -> Look:
    """KEDA sets Ready False when a trigger cannot be read; before that there is no status."""
    for condition in (live.get("status") or {}).get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] == "False":
            return Look(False, f"Ready {_text(condition)}")
    return Look(True)


def _rollout(cluster: Cluster, live: Manifest) -> Look:
    """Whether the InferenceService's Deployments run what they should; passes where hidden from us."""
    selector = f"serving.kserve.io/inferenceservice={live['metadata']['name']}"
    try:
        deployments = cluster.list("apps/v1", "Deployment", selector=selector)
    except (Forbidden, MissingKind):
        return Look(True)
    for deployment in deployments:
        look = rollout_look(deployment)
        if not look.ready:
            return look
    return Look(True)


def available(cluster: Cluster, service: str) -> int:
    """How many pods of an InferenceService answer.

    Raises:
        Forbidden, MissingKind: the Deployments cannot be seen.
    """
    selector = f"serving.kserve.io/inferenceservice={service}"
    found = cluster.list("apps/v1", "Deployment", selector=selector)
    return sum((one.get("status") or {}).get("availableReplicas", 0) for one in found)


def rollout_look(deployment: Manifest) -> Look:
    """As ``kubectl rollout status`` sees it."""
    status: dict[str, Any] = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    name = deployment["metadata"]["name"]
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return Look(False, f"{name}: waiting for its controller")
    for condition in status.get("conditions", ()):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return Look(False, f"{name}: {condition.get('message', '')}", broken=True)
        # A quota, Pod Security or a webhook refuses the pods: there is nothing to wait for.
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return Look(False, f"{name}: {condition.get('message', '')}", broken=True)
    new, live = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if new < wanted or live < wanted or status.get("replicas", 0) > new:
        return Look(False, f"{name}: {new} of {wanted} pods are new, {live} answer")
    return Look(True)


def _text(condition: dict[str, Any]) -> str:
    said = [condition.get("reason", ""), condition.get("message", "")]
    return f"{condition['status']} ({': '.join(filter(None, said)) or 'no reason given'})"
