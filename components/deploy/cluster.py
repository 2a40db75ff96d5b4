"""The deploy step on Kubernetes: pods of the new version first, then its users, then the registry."""

from __future__ import annotations

from pathlib import Path

from hemix.progress import say
from hemix.serving.kubernetes.carry_out import STAY, carry_out, challenge
from hemix.serving.kubernetes.served import Site
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.transitions import (
    Challenger,
    Note,
    RegistryState,
    Running,
    outdated,
    summary_of,
)
from hemix.verdict import Verdict

WHY = "deploy step"


def serve(
    site: Site,
    model: Path,
    version: str,
    registry: Registry,
    *,
    share: float,
    verdict: Verdict,
    running: Running,
    judged: str | None = None,
) -> RegistryState:
    """Add a version and serve it; the first to everyone, a later one to ``share`` of the users.

    It becomes challenger when its pods are ready. When they are not, it stays a candidate and
    those who served before serve on. A version that was moved since is left as it is, and so is an
    experiment that runs, unless ``running`` says that it is replaced.

    Args:
        site: the cluster and its settings.
        model: model version folder.
        version: its name.
        registry: where it is added.
        share: share of users of a later version, ``[0, 1]``.
        verdict: of the model gate; kept in the registry.
        running: what becomes of an experiment that runs: wait, replace or queue.
        judged: the champion that the gates compared it with; when another is champion by now it
            stays a candidate. None: not said.

    Raises:
        DefinitionError: pods cannot reach a location.
        ClusterError, DeploymentFailed: see :func:`hemix.serving.kubernetes.apply.deploy`.
    """
    # Its files must be there before pods read them; as a candidate it serves no one.
    state = registry.add(model, share=None, why=WHY, verdict=verdict)
    move = STAY
    if outdated(state, judged):
        pass  # it stays what it is; the step says so
    elif state.state_of(version) == "candidate" and state.challengers and running != "replace":
        if running == "queue":
            one = Challenger(version=version, share=share)
            state = registry.move(lambda now: now.model_copy(update={"queue": (one,)}))
    elif state.state_of(version) == "candidate":
        note = Note(why=WHY, verdict=summary_of(verdict))
        move = challenge(version, share, note)
    say(f"deploy: {move.text}, on {site.cluster.host}, namespace {site.cluster.namespace}")
    return carry_out(move, registry, site.settings, site.cluster, say=say)
