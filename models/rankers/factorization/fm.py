"""FM: a factorisation machine of second order.

Paper: Rendle, "Factorization Machines", ICDM 2010. Eq. 1, by lemma 3.1 in one pass over the vectors:

    y = w_0 + sum_i w_i + sum_{i<j} <v_i, v_j>
    sum_{i<j} <v_i, v_j> = 1/2 sum_e ((sum_i v_ie)^2 - sum_i v_ie^2)

The first-order weights are :mod:`hemix.models.rankers.fields`'s. The vectors of a history are
further v's. INFERRED: with several tasks each weighs the entries of the pooled product by a vector
of its own (:class:`~hemix.models.layers.interactions.pairs.FactorizationMachine`).

Axes: B batch, V vectors of a row, E embedding width.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator
from torch import Tensor

from hemix.models.layers.interactions.pairs import FactorizationMachine
from hemix.models.rankers.fields import FieldRanker, FirstOrderConfig
from hemix.models.search_space import Space
from hemix.spec import FeatureSpec


class FMConfig(FirstOrderConfig):
    """Shape of a factorisation machine; there is nothing that ``dropout`` could drop."""

    search: ClassVar[Space] = {k: v for k, v in FirstOrderConfig.search.items() if k != "dropout"}

    @model_validator(mode="after")
    def _consistent(self) -> FMConfig:
        if self.tower:
            raise ValueError("tower: a factorisation machine has none; deepfm has a deep network")
        return self


class FM(FieldRanker):
    """FM (Rendle, ICDM 2010); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> FM(toy_spec(), FMConfig())(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "fm"
    config_type = FMConfig

    def __init__(self, spec: FeatureSpec, config: FMConfig) -> None:
        super().__init__(spec, config)
        self.config = config
        self.pairs = FactorizationMachine(len(spec.tasks), config.embedding.width)

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task, without the first-order term."""
        pairs_BT = self.pairs(x_BVE)
        return {
            task.name: pairs_BT[:, index % pairs_BT.shape[1]]
            for index, task in enumerate(self.spec.tasks)
        }

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share and the request's weights is a candidate's."""
        request, candidate = self.input_flops()
        candidate += self.pairs.flops(sum(self.groups), self.config.embedding.width)
        return {"request": request, "candidate": candidate}
