"""The way back, at three in the morning: traffic first, pods after, and nothing undoes it.

A deployment waits for every pod before it moves traffic, and puts everything back when something is
late. For a version that does harm both would be wrong: whoever is to serve must have one pod that
answers, then users go there, then the registry is written, and what is still late afterwards is said
and left to Kubernetes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hemix.errors import HemixError
from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.apply import Changes, apply_all, prune
from hemix.serving.kubernetes.errors import DeploymentFailed, Forbidden, MissingKind
from hemix.serving.kubernetes.manifests.names import Manifest, service_name, title
from hemix.serving.kubernetes.manifests.render import Rendered
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.kubernetes.ready import Say, available, service_look, wait_ready


def go_back(
    cluster: Cluster,
    rendered: Rendered,
    settings: DeploymentSettings,
    *,
    versions: Sequence[str],
    commit: Callable[[], Rendered],
    wait: bool = True,
    force: bool = False,
    say: Say = print,
) -> None:
    """Send users where ``rendered`` says as soon as each of ``versions`` has a pod that answers.

    Args:
        cluster: where.
        rendered: the state that is wanted; its first traffic manifest says who serves whom.
        settings: of the deployment.
        versions: who must answer before: the champion, who stands in for all others.
        commit: writes the registry, together with what others wrote there meanwhile; returns what
            the registry then says.
        wait: afterwards for all pods, and remove what is over; otherwise return once users moved.
        force: take over fields of other managers.
        say: progress.

    Raises:
        DeploymentFailed: no pod of a version answered in time: nothing moved. Or, when users have
            moved, something else is late: they stay where they are.
        HemixError: the registry could not be written; users have moved all the same.
    """
    cluster.require_namespace()
    missing = [version for version in versions if not _answers(cluster, settings, version)]
    if missing:
        _start(cluster, rendered, settings, missing, force=force, say=say)
    say("deploy: traffic")
    apply_all(Changes(cluster), rendered.traffic[:1], force=force, say=say)
    say("deploy: users move within about a minute")
    rendered = _committed(commit, rendered, say)
    say("deploy: pods")
    apply_all(Changes(cluster), rendered.manifests, force=force, say=say)
    if not wait:
        say("deploy: what is late, and what is over, is left; hemix deploy looks after it")
        return
    try:
        wait_ready(cluster, rendered.manifests, settings.timeouts, say)
    except DeploymentFailed as error:
        raise DeploymentFailed(
            f"Users have moved and stay where they are. {error.message}",
            hint="Nothing was undone. Mend what is late, then hemix deploy.",
        ) from error
    prune(cluster, rendered, settings, say=say)


def _committed(commit: Callable[[], Rendered], rendered: Rendered, say: Say) -> Rendered:
    try:
        return commit()
    except HemixError as error:
        say("deploy: users have moved, but the registry could not be written")
        hint = "Run the command again when the registry can be reached; until then no hemix deploy:"
        raise type(error)(
            f"{error.message} Users have moved all the same.",
            hint=f"{hint} it would bring the cluster to what the registry still says.",
        ) from error


def _answers(cluster: Cluster, settings: DeploymentSettings, version: str) -> bool:
    """Whether at least one pod of a version answers now."""
    name = service_name(settings, version)
    live = cluster.get(_service(name))
    if live is None:
        return False
    try:
        return available(cluster, name) > 0
    except (Forbidden, MissingKind):  # who may not see Deployments goes by KServe's word
        return service_look(live).ready


def _start(
    cluster: Cluster,
    rendered: Rendered,
    settings: DeploymentSettings,
    missing: Sequence[str],
    *,
    force: bool,
    say: Say,
) -> None:
    """Bring up versions without a pod; one that answers is enough."""
    say(f"deploy: {', '.join(missing)} has no pod that answers; it is started first")
    changes = Changes(cluster)
    end = time.monotonic() + settings.timeouts.ready
    try:
        apply_all(changes, rendered.capacity, force=force, say=say)
        while late := [v for v in missing if not _answers(cluster, settings, v)]:
            if time.monotonic() >= end:
                services = ", ".join(title(_service(service_name(settings, v))) for v in late)
                raise DeploymentFailed(
                    f"No pod answers after {settings.timeouts.ready:g} s: {services}. "
                    "Users stay where they were.",
                    hint=f"See kubectl describe and the pods' logs in namespace {cluster.namespace}.",
                )
            time.sleep(settings.timeouts.poll)
    except BaseException:
        changes.undo(say)
        raise


def _service(name: str) -> Manifest:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
    }
