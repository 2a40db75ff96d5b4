"""Which variant a user sees: a salted hash of the user id, the same everywhere and for ever.

A user's point in ``[0, 1)`` depends on the salt and the id alone. Challengers fill the line from 0
up, so that a user who is in a challenger at 10 % stays in it at 20 %. Another salt is another,
independent cut (a layer). Source: Tang et al., Overlapping Experiment Infrastructure, KDD 2010.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hemix.files import digest_of
from hemix.serving.registry.transitions import RegistryState

MODEL_LAYER = "model"
"""The layer that the registry makes: which version serves."""
CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """An arm of the experiment: its name, the version it serves, its share of the users."""

    name: str
    version: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """A user's variant in a layer.

    ``epoch`` names the layer's salt, arms and shares: exposures of one epoch are one experiment
    with one split, and never mix with those of another. ``order`` are the task weights of the
    final order, None where the variant says nothing about it.
    """

    layer: str
    variant: str
    epoch: str
    order: Mapping[str, float] | None = None


def point(salt: str, user_id: int | str) -> float:
    """The user's point in ``[0, 1)``: 64 bits of BLAKE2b over the salt and the id's text.

    >>> point("a", 7) == point("a", "7")
    True
    """
    digest = hashlib.blake2b(f"{salt}|{user_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def variants_of(state: RegistryState) -> tuple[Variant, ...]:
    """The arms of a registry's experiment, the champion first."""
    assert state.champion is not None
    several = len(state.challengers) > 1
    return (
        Variant(name=CHAMPION, version=state.champion, share=state.shares[state.champion]),
        *(
            Variant(
                name=f"{CHALLENGER}_{number}" if several else CHALLENGER,
                version=challenger.version,
                share=challenger.share,
            )
            for number, challenger in enumerate(state.challengers, start=1)
        ),
    )


def assign(variants: Sequence[Variant], *, salt: str, user_id: int | str) -> Variant:
    """The variant of a user. ``variants[0]`` is the champion and takes what the others leave."""
    at = point(salt, user_id)
    end = 0.0
    for variant in variants[1:]:
        end += variant.share
        if at < end:
            return variant
    return variants[0]


def epoch_of(variants: Sequence[Variant], salt: str) -> str:
    """The name of a split: 12 hex digits of its salt, arms, versions and shares."""
    arms = [[variant.name, variant.version, round(variant.share, 12)] for variant in variants]
    return digest_of([salt, arms], length=12)
