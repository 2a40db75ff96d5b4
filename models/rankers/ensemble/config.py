"""Shape of an AdaEnsemble."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hemix.models.layers.routing.experts import EXPERTS
from hemix.models.layers.routing.mixture import Combine
from hemix.models.rankers.fields import FieldRankerConfig
from hemix.models.search_space import Range, Space

Expert = Literal["gated", "cross", "polynomial", "convolution", "attention"]


class AdaEnsembleConfig(FieldRankerConfig):
    """Shape of an AdaEnsemble."""

    search: ClassVar[Space] = {
        **FieldRankerConfig.search,
        "chosen": Range(low=1, high=4),
        "balance": Range(low=1e-3, high=1.0, log=True),
    }

    layers: int = Field(default=4, ge=1)
    """L: layers, each followed by an exit."""
    experts: tuple[Expert, ...] = Field(default=tuple(EXPERTS), min_length=1)  # type: ignore[arg-type]
    """The networks of every layer."""
    chosen: int = Field(default=3, ge=1)
    """k: how many experts compute a row in a layer."""
    combine: Combine = "gated"
    """How the chosen experts' outputs are added: weighed by their gates, or plainly as the release
    does, where no task teaches the routers."""
    expert_shares: tuple[float, ...] = (0.2, 0.2, 0.4, 0.1, 0.1)
    """Wished shares of the experts, in their order; empty: equal ones."""
    exit_shares: tuple[float, ...] = (0.1, 0.2, 0.6, 0.1)
    """Wished shares of the exits; empty: equal ones."""
    balance: float = Field(default=1.0, ge=0)
    """alpha: weight of the losses that draw shares to the wished ones."""
    z: float = Field(default=0.01, ge=0)
    """zeta: weight of the losses that keep the routers' logits small."""
    noise: float = Field(default=0.5, ge=0, le=1)
    """eps: how far training scales each number that a router reads, up or down."""
    anneal: float = Field(default=0.5, ge=0, le=1)
    """Share of training during which fewer and fewer exits are open to a row, from all to the one
    that serving takes."""

    @model_validator(mode="after")
    def _consistent(self) -> AdaEnsembleConfig:
        if len(set(self.experts)) < len(self.experts):
            raise ValueError("experts: one is named twice")
        for name, shares, count in (
            ("expert_shares", self.expert_shares, len(self.experts)),
            ("exit_shares", self.exit_shares, self.layers),
        ):
            if shares and len(shares) != count:
                raise ValueError(f"{name}: {len(shares)} shares for {count}; empty: equal ones")
            if any(share <= 0 for share in shares) or (shares and abs(sum(shares) - 1) > 1e-6):
                raise ValueError(f"{name}: they are above 0 and add up to 1")
        return self
