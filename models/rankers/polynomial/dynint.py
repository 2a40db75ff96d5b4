"""DynInt: xDeepInt whose interactions depend on the row.

Paper: Yan and Li, "DynInt: Dynamic Interaction Modeling for Large-scale Click-Through Rate
Prediction", arXiv 2301.08139. ``mode`` is one of its two ideas, the second in two forms:

    activation   gates re-scale what a layer multiplies with
    generated    W_l + U_l S_l(row) V_l', the core S_l made by a network from the row
    weighted     W_l times a mask of low rank made from the row

The formulas are INFERRED (:mod:`hemix.models.layers.interactions.dynamic`): the paper's abstract
alone was open to us. Head and base are xDeepInt's, and at the start all three equal it.

Axes: B batch, V vectors of a row, E embedding width, h subspaces.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from hemix.models.layers.interactions.dynamic import DynamicInteractions, Mode
from hemix.models.layers.interactions.polynomial import PolynomialInteractions
from hemix.models.rankers.polynomial.xdeepint import PolynomialConfig, PolynomialRanker
from hemix.models.search_space import Choice, Range, Space


class DynIntConfig(PolynomialConfig):
    """Shape of a DynInt."""

    search: ClassVar[Space] = {
        **PolynomialConfig.search,
        "mode": Choice(choices=("activation", "generated", "weighted")),
        "rank": Range(low=1, high=8),
    }

    mode: Mode = "activation"
    """What depends on the row: gates, generated weights, or a mask over the weights."""
    rank: int = Field(default=4, ge=1)
    """r: rank of what generated and weighted make from the row."""
    bits: bool = False
    """Whether the gates of activation are for single entries, else for whole vectors."""
    static: bool = True
    """Whether generated keeps weights that all rows share; without, at the start, nothing meets."""


class DynInt(PolynomialRanker):
    """DynInt (Yan and Li, 2023); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> DynInt(toy_spec(), DynIntConfig())(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "dynint"
    config_type = DynIntConfig

    def make_network(self, config: PolynomialConfig) -> PolynomialInteractions:
        """The dynamic network over this ranker's vectors."""
        assert isinstance(config, DynIntConfig)
        return DynamicInteractions(
            sum(self.groups),
            config.embedding.width,
            config.layers,
            subspaces=config.subspaces,
            mode=config.mode,
            rank=config.rank,
            bits=config.bits,
            static=config.static,
            dropout=config.dropout,
        )
