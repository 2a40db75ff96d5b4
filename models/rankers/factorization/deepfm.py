"""DeepFM: a factorisation machine beside a deep network on the same vectors.

Paper: Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI
2017, arXiv 1703.04247 (eq. 1 to 4):

    logit_t = w_t0 + sum_i w_ti + sum_{i<j} <v_i, v_j>  +  MLP([v_1 ; ... ; v_V]) . u_t + c_t

Branches: ``cross`` (the factorisation machine) and ``deep``. The first-order weights read the ids.
INFERRED: the second-order sum of several tasks (:mod:`hemix.models.layers.interactions.pairs`); the
deep network is shared, each task has a unit of its own over it.

Axes: B batch, V vectors of a row, E embedding width, T tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from hemix.models.layers.dense import MLP, mlp_flops
from hemix.models.layers.interactions.pairs import FactorizationMachine
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FirstOrderConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec


class DeepFMConfig(FirstOrderConfig, DeepConfig):
    """Shape of a DeepFM."""

    search: ClassVar[Space] = {
        **FirstOrderConfig.search,
        "deep": Choice(choices=([128, 64], [256, 128], [400, 400, 400])),
    }

    deep: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    """Hidden widths of the deep network."""


class DeepFM(FieldRanker):
    """DeepFM (Guo et al., IJCAI 2017); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> DeepFM(toy_spec(), DeepFMConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "deepfm"
    config_type = DeepFMConfig
    branches: tuple[str, ...] = ("cross", "deep")

    def __init__(self, spec: FeatureSpec, config: DeepFMConfig) -> None:
        super().__init__(spec, config)
        self.config = config
        self.pairs = FactorizationMachine(len(spec.tasks), config.embedding.width)
        self.deep = MLP(self.flat_width, config.deep, config.dropout, config.deep_norm)
        self.tower = self.towers(self.deep.width, config)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch, without the first order."""
        pairs_BT, u = self.pairs(x["cross"]), self.deep(x["deep"].flatten(1))
        return {
            task: pairs_BT[:, index % pairs_BT.shape[1]] + tower(u)
            for index, (task, tower) in enumerate(self.tower.items())
        }

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share and the request's weights is a candidate's."""
        c = self.config
        request, candidate = self.input_flops()
        candidate += self.pairs.flops(sum(self.groups), c.embedding.width)
        candidate += mlp_flops(self.flat_width, c.deep)
        candidate += len(self.tower) * mlp_flops(self.deep.width, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
