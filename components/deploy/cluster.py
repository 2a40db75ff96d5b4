"""The deploy step on Kubernetes: pods of the new version first, then its users, then the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hemix.progress import say
from hemix.storage import is_remote
from hemix.verdict import Verdict
from serving import state as moves
from serving.kubernetes.api import Cluster, connect
from serving.kubernetes.service import STAY, Move, carry_out
from serving.kubernetes.settings import DeploymentSettings
from serving.registry import Registry
from serving.state import RegistryState

WHY = "deploy step"


@dataclass(frozen=True)
class Site:
    """A namespace of a cluster that answers, and how to serve there."""

    cluster: Cluster
    settings: DeploymentSettings

    @staticmethod
    def open(text: str, feature_store: str) -> Site:
        """Read the settings and greet the cluster, before anything is changed anywhere.

        Raises:
            DefinitionError: the settings; names the key.
            EnvironmentProblem, ClusterError: no cluster, or not that namespace.
        """
        settings = DeploymentSettings.parse(text, where="cluster")
        if not settings.storage.features and is_remote(feature_store):
            storage = settings.storage.model_copy(update={"features": feature_store})
            settings = settings.model_copy(update={"storage": storage})
        cluster = connect(namespace=settings.namespace, timeout_s=settings.timeouts.api)
        cluster.require_namespace()
        return Site(cluster, settings)

    def serve(
        self, model: Path, version: str, registry: Registry, *, share: float, verdict: Verdict
    ) -> RegistryState:
        """Add a version and serve it; the first to everyone, a later one to ``share`` of the users.

        It becomes challenger when its pods are ready. When they are not, it stays a candidate and
        those who served before serve on. A version that was moved since is left as it is.

        Raises:
            DefinitionError: pods cannot reach a location.
            ClusterError, DeploymentFailed: see :func:`serving.kubernetes.apply.deploy`.
        """
        # Its files must be there before pods read them; as a candidate it serves no one.
        state = registry.add(model, share=None, why=WHY, verdict=verdict)
        move = STAY
        if state.state_of(version) == "candidate":
            summary = moves.summary_of(verdict)
            move = Move(
                f"{version} to {share:.0%} of the users",
                lambda state: moves.challenge(state, version, share=share),
                lambda registry: registry.challenge(version, share=share, why=WHY, verdict=summary),
            )
        say(f"deploy: {move.text}, on {self.cluster.host}, namespace {self.cluster.namespace}")
        return carry_out(move, registry, self.settings, self.cluster, say=say)
