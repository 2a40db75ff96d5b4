"""What a deployment would change, as the API server itself works it out (dry run)."""

from __future__ import annotations

import difflib
from typing import Any

import yaml

from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.apply import leftovers
from hemix.serving.kubernetes.manifests.names import Manifest, title
from hemix.serving.kubernetes.manifests.render import Plain, Rendered
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings

_SERVERS_OWN = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation")


def diff(
    cluster: Cluster, rendered: Rendered, settings: DeploymentSettings, *, force: bool = False
) -> str:
    """A unified diff of every object that would change, be made or removed; empty: nothing would.

    Raises:
        FieldConflict, ClusterError: the server would refuse.
    """
    cluster.require_namespace()
    parts = [
        _one(manifest, cluster.get(manifest), cluster.apply(manifest, dry_run=True, force=force))
        for manifest in rendered.manifests
    ]
    parts += [_one(manifest, manifest, None) for manifest in leftovers(cluster, rendered, settings)]
    return "".join(parts)


def _one(manifest: Manifest, before: Manifest | None, after: Manifest | None) -> str:
    name = title(manifest)
    lines = difflib.unified_diff(
        _text(before), _text(after), f"{name} (now)", f"{name} (then)", n=2
    )
    return "".join(lines)


def _text(live: Manifest | None) -> list[str]:
    if live is None:
        return []
    kept: dict[str, Any] = {key: value for key, value in live.items() if key != "status"}
    kept["metadata"] = {k: v for k, v in live["metadata"].items() if k not in _SERVERS_OWN}
    return yaml.dump(kept, Dumper=Plain, sort_keys=True).splitlines(keepends=True)
