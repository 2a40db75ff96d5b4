"""What a move of the registry would do, or did, in words."""

from __future__ import annotations

from hemix.errors import RegistryError
from hemix.serving.registry.transitions import RegistryState


def require_live(state: RegistryState, version: str) -> None:
    """Raise RegistryError when ``version`` serves no one: rolling it back would do nothing."""
    stands = state.state_of(version)
    if stands in ("champion", "challenger"):
        return
    live = ", ".join(state.shares)
    raise RegistryError(
        f"{version} is a {stands} version and serves no one: there is nothing to roll back.",
        hint=f"Live now: {live or 'no version'}; roll one of these back.",
    )


def what_rollback_did(before: RegistryState, after: RegistryState, version: str) -> str:
    """One sentence: who served, and who serves now."""
    if before.champion == version:
        return f"{version} was the champion and is retired; {after.champion} is champion again."
    share = before.shares.get(version)
    users = "its users" if share is None else f"the {share:.0%} of users that it had"
    return (
        f"{version} was a challenger and is retired; {users} go to the champion {after.champion}."
    )
