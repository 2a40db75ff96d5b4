"""Bring a cluster to a rendered state, or leave it as it was.

Order: check everything by a dry run; apply what serves no one yet and wait for it; move traffic and
wait; remove what is over. Until traffic moves, users see nothing. A failure at any step puts back
what was there before it, by applying it again and deleting what is new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hemix.errors import HemixError
from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.errors import (
    DeploymentFailed,
    FieldConflict,
    Forbidden,
    MissingKind,
)
from hemix.serving.kubernetes.manifests.names import Manifest, key_of, selector, title
from hemix.serving.kubernetes.manifests.render import Rendered
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.kubernetes.owned import is_ours, owned
from hemix.serving.kubernetes.ready import Say, wait_ready

_PRUNED = (
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("policy/v1", "PodDisruptionBudget"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("v1", "ConfigMap"),
    ("serving.kserve.io/v1alpha1", "ServingRuntime"),
)
"""Kinds of which we may have left something, in the order of removal: users of a thing first."""


@dataclass
class Changes:
    """What was done to a cluster: the way back. ``before`` is None for what did not exist."""

    cluster: Cluster
    done: list[tuple[Manifest, Manifest | None]] = field(default_factory=list)

    def undo(self, say: Say) -> list[str]:
        """Put everything back, the last change first; what could not be put back is returned."""
        failed = []
        for manifest, before in reversed(self.done):
            try:
                if before is None:
                    self.cluster.delete(manifest)
                    say(f"  {title(manifest)}: removed again")
                elif before != manifest:
                    self.cluster.apply(before, force=True)
                    say(f"  {title(manifest)}: as before")
            except HemixError as error:
                failed.append(error.message)
        self.done.clear()
        return failed


def deploy(
    cluster: Cluster,
    rendered: Rendered,
    settings: DeploymentSettings,
    *,
    commit: Callable[[], None] = lambda: None,
    guard: Callable[[], None] = lambda: None,
    force: bool = False,
    say: Say = print,
) -> None:
    """Make the cluster what ``rendered`` says, and remove of ours what it does not say.

    Args:
        cluster: where.
        rendered: manifests, and which versions they serve.
        settings: time limits.
        commit: called when the cluster serves the new state, before anything is removed: writes the
            registry. When it fails, the cluster goes back too.
        guard: called before traffic moves; what it raises leaves everything as it was.
        force: take over fields of other managers.
        say: takes a line on each change.

    Raises:
        FieldConflict, ClusterError: the cluster refused; nothing was changed, or all put back.
        DeploymentFailed: something did not become ready; the state before serves on.
    """
    cluster.require_namespace()
    check(cluster, rendered.manifests, force=force)
    check_claim(cluster, settings)
    changes = Changes(cluster)
    try:
        say("deploy: predictors")
        apply_all(changes, rendered.capacity, force=force, say=say)
        wait_ready(cluster, rendered.capacity, settings.timeouts, say)
        guard()
        say("deploy: traffic")
        apply_all(changes, rendered.traffic, force=force, say=say)
        wait_ready(cluster, rendered.traffic, settings.timeouts, say)
        commit()
    except BaseException as error:
        say("deploy: failed; putting back what was there before")
        left = changes.undo(say)
        if left and isinstance(error, HemixError):
            raise DeploymentFailed(
                f"{error.message} And the state before could not be put back whole: {'; '.join(left)}",
                hint="Run hemix deploy again: it brings the cluster to the registry's state.",
            ) from error
        raise
    prune(cluster, rendered, settings, say=say)


def check(cluster: Cluster, manifests: Sequence[Manifest], *, force: bool = False) -> None:
    """Let the server check everything (schema, rights, owners) by a dry run; nothing is kept."""
    for manifest in manifests:
        live = cluster.get(manifest)
        if live is not None and not force and not is_ours(live):
            raise FieldConflict(
                f"{title(manifest)} in namespace {cluster.namespace} was made by someone else.",
                hint="Set another name in the deployment settings, or take it over with --force.",
            )
        cluster.apply(manifest, dry_run=True, force=force)


def check_claim(cluster: Cluster, settings: DeploymentSettings) -> None:
    """The claim that the ranker mounts may be mounted as the settings say.

    Raises:
        DeploymentFailed: it may not: a new pod would wait for the volume of the old one for ever.
    """
    storage = settings.storage
    if not storage.claim:
        return
    wanted = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": storage.claim},
    }
    try:
        live = cluster.get(wanted)
    except (Forbidden, MissingKind):  # who may not look is told by pods that wait
        return
    modes = ((live or {}).get("spec") or {}).get("accessModes") or [storage.claim_mode]
    if storage.claim_mode == "ReadWriteMany" and "ReadWriteMany" not in modes:
        raise DeploymentFailed(
            f"PersistentVolumeClaim {storage.claim} is {', '.join(modes)}: one pod can mount it, and "
            "the ranker has more.",
            hint="Set storage.claim_mode: ReadWriteOnce with one ranker, or use a ReadWriteMany "
            "claim or S3.",
        )


def prune(
    cluster: Cluster, rendered: Rendered, settings: DeploymentSettings, *, say: Say = print
) -> None:
    """Remove what is over, once no request is on its way there."""
    over = leftovers(cluster, rendered, settings)
    if any(manifest["kind"] == "InferenceService" for manifest in over):
        say(f"deploy: in {settings.timeouts.drain:g} s what is over will be removed")
        time.sleep(settings.timeouts.drain)
    for manifest in over:
        cluster.delete(manifest)
        say(f"  {title(manifest)}: removed")


def leftovers(cluster: Cluster, rendered: Rendered, settings: DeploymentSettings) -> list[Manifest]:
    """What carries our labels in the cluster and is not wanted any more."""
    wanted = {key_of(manifest) for manifest in rendered.manifests}
    over: list[Manifest] = []
    for api_version, kind in _PRUNED:
        try:
            cluster.kind(api_version, kind)
        except MissingKind:  # what the cluster does not know, it holds none of
            continue
        found = cluster.list(api_version, kind, selector=selector(settings))
        over += [manifest for manifest in found if key_of(manifest) not in wanted]
    return over


def apply_all(changes: Changes, manifests: Sequence[Manifest], *, force: bool, say: Say) -> None:
    """Apply manifests in their order, and note the way back."""
    for manifest in manifests:
        live = changes.cluster.get(manifest)
        before = owned(live) if live is not None and is_ours(live) else None
        # Noted first: a request that broke off may have been carried out.
        if live is None or before is not None:
            changes.done.append((manifest, before))
        after = changes.cluster.apply(manifest, force=force)
        if live is None:
            say(f"  {title(manifest)}: created")
        elif after["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            say(f"  {title(manifest)}: changed")
