"""The deploy step on Kubernetes: pods of the new version first, then its users, then the registry."""

from __future__ import annotations

from pathlib import Path

from hemix.progress import say
from hemix.storage import is_remote
from hemix.verdict import Verdict
from serving import state as moves
from serving.kubernetes.api import connect
from serving.kubernetes.service import STAY, Move, carry_out
from serving.kubernetes.settings import DeploymentSettings
from serving.registry import Registry
from serving.state import RegistryState

WHY = "deploy step"


def serve_on_cluster(
    model: Path,
    version: str,
    *,
    registry: Registry,
    feature_store: str,
    share: float,
    verdict: Verdict,
    cluster: str,
) -> RegistryState:
    """Add a version and serve it; the first to everyone, a later one to ``share`` of the users.

    It becomes challenger when its pods are ready. When they are not, it stays a candidate and those
    who served before serve on. A version that was moved by someone since is left as it is.

    Args:
        cluster: deployment settings as JSON or YAML text.

    Raises:
        DefinitionError: the settings, or a location that pods cannot reach.
        ClusterError, DeploymentFailed: see :func:`serving.kubernetes.apply.deploy`.
    """
    settings = DeploymentSettings.parse(cluster, where="cluster")
    if not settings.storage.features and is_remote(feature_store):
        storage = settings.storage.model_copy(update={"features": feature_store})
        settings = settings.model_copy(update={"storage": storage})
    api = connect(namespace=settings.namespace, timeout_s=settings.timeouts.api)
    api.require_namespace()
    moves.check_share(share)
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
    say(f"deploy: {move.text}, on {api.host}, namespace {api.namespace}")
    return carry_out(move, registry, settings, api, say=say)
