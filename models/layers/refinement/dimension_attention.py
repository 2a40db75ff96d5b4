"""DRM: attention among the dimensions of the vectors, each seen across all fields.

Paper: Zhao et al., "Dimension Relation Modeling for Click-Through Rate Prediction" (FED), CIKM 2020,
arXiv 2011.04184 (its dimension relation module). On ``X = E^T [B, d, F]``:

    Q, K, V = X W + b  (F -> F)      A = softmax(Q K^T) [B, d, d], no scale      out = (A V)^T + E
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from hemix.models.layers.refinement.base import Refinement, RefinementConfig
from hemix.models.pictures import Axis, Look, Picture


class DimensionAttention(Refinement):
    """The weights are ``A [B, d, d]``.

    Example:
        >>> import torch
        >>> DimensionAttention(3, 4, RefinementConfig()).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 4, 4])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        del config  # nothing to choose
        self.query, self.key, self.value = (nn.Linear(fields, fields) for _ in range(3))

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        x_BdF = e_BFd.transpose(1, 2)
        a_Bdd = (self.query(x_BdF) @ self.key(x_BdF).transpose(1, 2)).softmax(-1)
        return (a_Bdd @ self.value(x_BdF)).transpose(1, 2) + e_BFd, a_Bdd

    def pictures(self, look: Look) -> Iterator[Picture]:
        """The attention among dimensions, the mean over the rows: it has no fields."""
        labels = tuple(str(number) for number in range(1, self.width + 1))
        for call in look.calls(self):
            yield Picture(
                title="Refinement: attention among dimensions",
                reading="Each line is a dimension of the vectors; high: it reads that column's much.",
                axes=(Axis(title="reads", labels=labels), Axis(title="is read", labels=labels)),
                values=self.weights(call.inputs[0]).mean(0).float().cpu(),
                about="rows",
            )

    def flops(self) -> int:
        return 6 * self.width * self.fields**2 + 4 * self.width**2 * self.fields
