"""FEN and DFEN: the row gives every field one weight.

Papers: Yu et al., "An Input-aware Factorization Machine for Sparse Prediction" (IFM), IJCAI 2019;
Lu et al., "A Dual Input-aware Factorization Machine for CTR Prediction" (DIFM), IJCAI 2020.

    fen:   m = F softmax_F(V MLP(z))                                    out_f = m_f e_f
    dfen:  m_bit = V_b MLP(z),  m_vec = V_v flat(relu(E W_res + MHA(E)))     out_f = (m_bit + m_vec)_f e_f

``V`` are bias-free. FEN as the benchmark (arXiv 2311.04625) released it puts norm and ReLU behind
the last layer too and leaves out the factor F, so that its weights sum to 1 and shrink the vectors
F times: ``softmax: released``. DFEN's release splits heads by a flat reshape (mended here) and scales
attention by ``(k // h)^-1/2`` in place of ``k^-1/2`` (``attention_scale: released``).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.refinement.base import Refinement, RefinementConfig, RefinementMLP
from hemix.models.layers.refinement.field_attention import Heads

HIDDEN = (256, 256, 256)
HEADS = 4


class InputAware(Refinement):
    """FEN; the weights are ``m [B, F]``.

    Example:
        >>> import torch
        >>> weights = InputAware(3, 4, RefinementConfig(hidden=(5,))).weights(torch.zeros(2, 3, 4))
        >>> weights.sum(1).round().tolist()
        [3.0, 3.0]
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        released, hidden = config.softmax == "released", config.hidden or HIDDEN
        self.factor = 1 if released else fields
        widths = (*hidden, fields) if released else hidden
        self.mlp = RefinementMLP(fields * width, widths, config)
        self.out = None if released else _bias_free(self.mlp.width, fields)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        m_BF = self.mlp(e_BFd.flatten(1))
        m_BF = self.factor * (m_BF if self.out is None else self.out(m_BF)).softmax(1)
        return e_BFd * m_BF[:, :, None], m_BF

    def flops(self) -> int:
        return self.mlp.flops() + (0 if self.out is None else 2 * self.out.weight.numel())


class DualInputAware(Refinement):
    """DFEN; the weights are ``m_bit + m_vec [B, F]``.

    Example:
        >>> import torch
        >>> DualInputAware(3, 4, RefinementConfig(hidden=(5,)))(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.mlp = RefinementMLP(fields * width, config.hidden or HIDDEN, config)
        heads, size = config.heads or HEADS, config.head_width or width
        divided = max(1, size // heads) if config.attention_scale == "released" else size
        self.attention = Heads(
            width, heads=heads, head_width=size, scale=divided**-0.5, xavier=False
        )
        self.residual = nn.Linear(width, self.attention.width)
        self.bit = _bias_free(self.mlp.width, fields)
        self.vector = _bias_free(fields * self.attention.width, fields)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        read_BFh = fn.relu(self.residual(e_BFd) + self.attention(e_BFd)[0])
        m_BF = self.bit(self.mlp(e_BFd.flatten(1))) + self.vector(read_BFh.flatten(1))
        return e_BFd * m_BF[:, :, None], m_BF

    def flops(self) -> int:
        residual = 2 * self.fields * self.width * self.attention.width
        heads = self.bit.weight.numel() + self.vector.weight.numel()
        attention = self.attention.flops(self.fields, self.width)
        return self.mlp.flops() + attention + residual + 2 * heads


def _bias_free(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)
