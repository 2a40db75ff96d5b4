"""A registry that applies each move to the cluster first: whoever moves a version need not know of pods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hemix.progress import say
from hemix.serving.kubernetes.api import Cluster, connect
from hemix.serving.kubernetes.carry_out import Move, carry_out
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.transitions import RegistryState
from hemix.storage import is_remote

if TYPE_CHECKING:
    from hemix.models.versions.version import Manifest


@dataclass(frozen=True)
class Site:
    """A namespace of a cluster that answers, and how to serve there."""

    cluster: Cluster
    settings: DeploymentSettings

    @staticmethod
    def open(
        text: str, feature_store: str = "", *, kubeconfig: Path | None = None, context: str = ""
    ) -> Site:
        """Read the settings and greet the cluster, before anything is changed anywhere.

        Args:
            text: deployment settings as JSON or YAML.
            feature_store: the live feature store, unless the settings name one.
            kubeconfig: of the cluster; None: the pod's own or the default one.
            context: of the kubeconfig; empty: its current one.

        Raises:
            DefinitionError: the settings; names the key.
            EnvironmentProblem, ClusterError: no cluster, or not that namespace.
        """
        settings = DeploymentSettings.parse(text, where="cluster")
        if not settings.storage.features and is_remote(feature_store):
            storage = settings.storage.model_copy(update={"features": feature_store})
            settings = settings.model_copy(update={"storage": storage})
        cluster = connect(
            namespace=settings.namespace,
            kubeconfig=kubeconfig,
            context=context,
            timeout_s=settings.timeouts.api,
        )
        cluster.require_namespace()
        return Site(cluster, settings)


def _is_back(before: RegistryState, after: RegistryState) -> bool:
    """Whether a version is taken away from users, and they go to one that served them before."""
    taken, new = set(before.shares) - set(after.shares), set(after.shares) - set(before.shares)
    known = after.champion == before.champion or after.champion in before.champions
    return bool(taken) and new <= {after.champion} and known


class ServedRegistry(Registry):
    """``registry``, whose moves succeed when the cluster of ``site`` serves them.

    Moves raise ClusterError and DeploymentFailed, too; both then are as they were.
    """

    def __init__(self, registry: Registry, site: Site) -> None:
        super().__init__(registry.location)
        self._registry = registry
        self._site = site

    def exists(self) -> bool:
        return self._registry.exists()

    def state(self) -> RegistryState:
        return self._registry.state()

    def folder(self, version: str) -> Path:
        return self._registry.folder(version)

    def manifest(self, version: str) -> Manifest:
        return self._registry.manifest(version)

    def _change(self, move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        before = self._registry.state()
        step = Move("a move", move, back=_is_back(before, move(before)))
        return carry_out(step, self._registry, self._site.settings, self._site.cluster, say=say)

    def _add(
        self, model: Path, version: str, move: Callable[[RegistryState], RegistryState]
    ) -> RegistryState:
        raise NotImplementedError(
            "Versions are added by the deploy step (hemix.components.deploy)."
        )
