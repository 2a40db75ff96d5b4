"""A registry's move carried out on a cluster: pods first, then traffic, then the registry.

The registry is written last, when the cluster already serves the new state. So a move that fails on
the way changes neither; and ``hemix deploy`` alone brings a cluster to what the registry says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from hemix.errors import RegistryError
from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.apply import deploy
from hemix.serving.kubernetes.back import go_back
from hemix.serving.kubernetes.manifests.render import Rendered, render
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.kubernetes.ready import Say
from hemix.serving.registry import transitions as moves
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.transitions import NO_NOTE, Note, RegistryState

Step = Callable[[RegistryState], RegistryState]


@dataclass(frozen=True)
class Move:
    """What to do with a registry: a step of :mod:`hemix.serving.registry.transitions`, and how it is told.

    ``back``: a version is taken away from users: traffic goes first (:mod:`hemix.serving.kubernetes.back`).
    """

    text: str
    step: Step
    back: bool = False


STAY = Move("as the registry says", lambda state: state)


def canary(
    state: RegistryState,
    percent: int | None,
    settings: DeploymentSettings,
    *,
    version: str = "",
    why: str = "",
) -> Move:
    """The next step of a version on trial: 5, 25, 50 % of the users; at 100 it is champion.

    Args:
        state: of the registry.
        percent: the step; None takes the next one. Down any step, up one at a time.
        settings: the steps.
        version: default: the challenger.
        why: reason, for the registry's history.

    Raises:
        RegistryError: no version is on trial, or the step is not one that may follow.
    """
    version = version or _challenger(state)
    shares = {challenger.version: challenger.share for challenger in state.challengers}
    now = 100 * shares.get(version, 0.0)
    if state.state_of(version) == "champion":
        if percent in (None, 100):
            return STAY
        raise RegistryError(
            f"{version} is the champion and serves everyone else's rest: it has no canary step.",
            hint="Roll it back, or put another version on trial.",
        )
    above = [step for step in settings.canary_steps if step > now + 1e-9]
    wanted = above[0] if percent is None else percent
    if wanted not in settings.canary_steps:
        steps = ", ".join(map(str, settings.canary_steps))
        raise RegistryError(f"{wanted} is not a canary step.", hint=f"Steps: {steps}.")
    if wanted > above[0]:
        raise RegistryError(
            f"{version} has {now:g} % of the users: the next step is {above[0]}, not {wanted}.",
            hint=f"hemix deploy --canary {above[0]}; look at the experiment before the step after.",
        )
    why = why or f"canary step {wanted} %"
    if wanted == 100:
        return promote(version, why=why)
    return challenge(version, wanted / 100, Note(why=why))


def challenge(version: str, share: float, note: Note = NO_NOTE) -> Move:
    """On trial, or another share of the users."""
    return Move(
        f"{version} to {100 * share:g} % of the users",
        lambda state: moves.challenge(state, version, share=share, note=note),
    )


def promote(version: str, *, why: str = "") -> Move:
    """Challenger -> champion."""
    note = Note(why=why)
    return Move(
        f"{version} becomes champion", lambda state: moves.promote(state, version, note=note)
    )


def rollback(state: RegistryState, *, version: str = "", why: str = "") -> Move:
    """Out of service: the challenger, when there is one, else the champion for the one before it."""
    if not version:
        version = state.challengers[-1].version if state.challengers else (state.champion or "")
    note = Note(why=why or "hemix deploy --rollback")
    return Move(
        f"{version} out of service",
        lambda state: moves.rollback(state, version, note=note),
        back=True,
    )


def retire(version: str, *, why: str = "") -> Move:
    """Shelve a candidate or challenger."""
    note = Note(why=why or "hemix deploy --retire")
    return Move(f"{version} is shelved", lambda state: moves.retire(state, version, note=note))


def rendered_after(move: Move, registry: Registry, settings: DeploymentSettings) -> Rendered:
    """The manifests of the state that ``move`` leads to; nothing is changed."""
    return render(move.step(registry.state()), settings, registry=registry.location)


def carry_out(
    move: Move,
    registry: Registry,
    settings: DeploymentSettings,
    cluster: Cluster,
    *,
    force: bool = False,
    wait: bool = True,
    say: Say = print,
) -> RegistryState:
    """Bring cluster and registry to where ``move`` leads; done again it changes nothing.

    Args:
        move: the registry's state that is wanted, and why.
        registry: which is changed.
        settings: of the deployment.
        cluster: where.
        force: take over fields of other managers.
        wait: of a way back only: for all pods, after users moved.
        say: takes a line on each change.

    Raises:
        RegistryError: the state does not allow the move, or another writer changed it meanwhile
            (of a way back: both changes are kept).
        ClusterError, DeploymentFailed: see :func:`hemix.serving.kubernetes.apply.deploy` and
            :func:`hemix.serving.kubernetes.back.go_back`.
    """
    before = registry.state()
    after = move.step(before)
    now = datetime.now(UTC)
    rendered = render(after, settings, registry=registry.location, now=now)

    def unchanged() -> None:
        if registry.state() != before:
            raise RegistryError(
                f"{registry.location} was changed by someone else meanwhile.",
                hint="Look at it (hemix models list), then run the command again.",
            )

    def commit() -> None:
        unchanged()
        if after != before:
            registry.move(move.step)

    def merged() -> Rendered:
        """The step over whatever the registry says by then: what a nightly run wrote is kept."""
        state = registry.move(move.step)
        if state.shares != after.shares:
            say(f"deploy: {registry.location} was changed meanwhile; both changes are kept")
        return render(state, settings, registry=registry.location, now=now)

    if move.back and after.champion is not None:
        go_back(
            cluster,
            rendered,
            settings,
            versions=(after.champion,),
            commit=merged,
            wait=wait,
            force=force,
            say=say,
        )
    else:
        deploy(cluster, rendered, settings, commit=commit, guard=unchanged, force=force, say=say)
    return registry.state()


def _challenger(state: RegistryState) -> str:
    if len(state.challengers) != 1:
        found = ", ".join(challenger.version for challenger in state.challengers) or "none"
        raise RegistryError(
            f"Which version? On trial: {found}.",
            hint="Give --version, for a candidate too.",
        )
    return state.challengers[0].version
