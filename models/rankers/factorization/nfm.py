"""NFM: a deep network over the pooled products of all pairs.

Paper: He and Chua, "Neural Factorization Machines for Sparse Predictive Analytics", SIGIR 2017,
arXiv 1708.05027 (eq. 3, 4, 8):

    f_BI(x) = sum_{i<j} v_i * v_j                           [B, E], entry by entry
    logit_t = w_t0 + sum_i w_ti + MLP(dropout(f_BI(x))) . h_t

With no hidden layer and h = 1 this is FM. The paper puts batch norm after the pooling; its running
statistics differ with the number of processes, so here it is LayerNorm (``norm``) or none, a
deviation. Axes: B batch, V vectors of a row, E embedding width.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import MLP, mlp_flops
from hemix.models.layers.interactions.pairs import pooled_pairs, pooled_pairs_flops
from hemix.models.rankers.fields import DeepConfig, FieldRanker, FirstOrderConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec


class NFMConfig(FirstOrderConfig, DeepConfig):
    """Shape of an NFM."""

    search: ClassVar[Space] = {
        **FirstOrderConfig.search,
        "deep": Choice(choices=([64], [128, 64], [400, 400, 400])),
        "norm": Choice(choices=(True, False)),
    }

    deep: tuple[int, ...] = (128, 64)
    """Hidden widths of the network over the pooled products; empty: one linear unit over them."""
    norm: bool = True
    """Whether the pooled products have a LayerNorm, in the place of the paper's batch norm."""


class NFM(FieldRanker):
    """NFM (He and Chua, SIGIR 2017); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> NFM(toy_spec(), NFMConfig(deep=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "nfm"
    config_type = NFMConfig

    def __init__(self, spec: FeatureSpec, config: NFMConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.embedding.width
        self.norm = nn.LayerNorm(width) if config.norm else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.deep = MLP(width, config.deep, config.dropout, config.deep_norm)
        self.tower = self.towers(self.deep.width, config)

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task, without the first-order term."""
        u = self.deep(self.dropout(self.norm(pooled_pairs(x_BVE))))
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share and the request's weights is a candidate's."""
        c, width = self.config, self.config.embedding.width
        request, candidate = self.input_flops()
        candidate += pooled_pairs_flops(sum(self.groups), width) + mlp_flops(width, c.deep)
        candidate += len(self.tower) * mlp_flops(self.deep.width, (*c.tower, 1))
        return {"request": request, "candidate": candidate}
