"""What a user got in one layer, as the exposure logs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hemix.files import digest_of
from hemix.serving.ranking.assignment import Variant

MODEL_LAYER = "model"
"""The layer that the registry makes: which version serves."""


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


def epoch_of(variants: Sequence[Variant], salt: str) -> str:
    """The name of a split: 12 hex digits of its salt, arms, versions and shares."""
    arms = [[variant.name, variant.version, round(variant.share, 12)] for variant in variants]
    return digest_of([salt, arms], length=12)
