"""SelfAtt: multi-head self-attention among the fields.

Paper: Li et al., "Interpretable Click-Through Rate Prediction through Hierarchical Attention"
(InterHAt), WSDM 2020; the benchmark (arXiv 2311.04625) keeps of its transformer block the attention:

    Q, K, V = E W + b  (d -> h k)     head i: softmax(Q_i K_i^T) V_i, no scale
    out = relu([head_1 ; ... ; head_h] W_o)      W_o [h k, d], no bias, no residual, no norm

The released code splits heads by a flat reshape, which mixes heads with fields; here a head is a
slice of the projection, for every field.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.dense import split_axis
from hemix.models.layers.refinement.base import Refinement, RefinementConfig

HEADS, HEAD_WIDTH = 8, 16


class Heads(nn.Module):
    """Multi-head attention ``softmax(scale Q K^T) V``: ``[B, F, d] -> [B, F, h k], [B, h, F, F]``.

    Args:
        width: d.
        heads: h.
        head_width: k.
        scale: of the products.
        xavier: whether the projections begin as Xavier says, or as torch's Linear does.
    """

    def __init__(
        self, width: int, *, heads: int, head_width: int, scale: float, xavier: bool
    ) -> None:
        super().__init__()
        self.heads, self.scale, self.width = heads, scale, heads * head_width
        self.query, self.key, self.value = (nn.Linear(width, self.width) for _ in range(3))
        for layer in (self.query, self.key, self.value) if xavier else ():
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = (
            split_axis(layer(e_BFd), -1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        a_BhFF = (self.scale * q @ k.transpose(2, 3)).softmax(-1)
        return (a_BhFF @ v).transpose(1, 2).flatten(2), a_BhFF

    def flops(self, fields: int, width: int) -> int:
        return 6 * fields * width * self.width + 4 * fields**2 * self.width


class FieldAttention(Refinement):
    """The weights are the attention ``[B, h, F, F]``.

    Example:
        >>> import torch
        >>> FieldAttention(3, 4, RefinementConfig(heads=2)).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 2, 3, 3])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        heads, head_width = config.heads or HEADS, config.head_width or HEAD_WIDTH
        self.attention = Heads(width, heads=heads, head_width=head_width, scale=1.0, xavier=True)
        self.out = nn.Linear(self.attention.width, width, bias=False)
        nn.init.xavier_uniform_(self.out.weight)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        read_BFh, a_BhFF = self.attention(e_BFd)
        return fn.relu(self.out(read_BFh)), a_BhFF

    meaning = "high: the other fields read much of it"

    def by_field(self, weights: Tensor) -> Tensor:
        """How much of each field is read, the mean over heads and readers."""
        return weights.mean((1, 2))

    def flops(self) -> int:
        attention = self.attention
        out = 2 * self.fields * attention.width * self.width
        return attention.flops(self.fields, self.width) + out
