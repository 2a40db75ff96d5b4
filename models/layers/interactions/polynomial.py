"""PIN: the polynomial interaction network, whose layers multiply by a linear function of the input.

Paper: Yan and Li, "xDeepInt: A Hybrid Architecture for Modeling the Vector-wise and Bit-wise Feature
Interactions", DLP-KDD 2020, arXiv 2301.01089. Layer l, W_l [V, V] over the vectors, no bias:

    X_l = X_{l-1} * act(W_{l-1} X_0) + X_{l-1}              * entry by entry, act none in the paper

so that ``X_L`` holds all products with a vector of X_0 up to order L + 1. With h subspaces the width
is cut into h chunks that stand below one another, ``[V h, E / h]``, and W_l is ``[V h, V h]``: h = 1
mixes whole vectors, h = E single entries. Without residual the outputs of all layers, X_0 first, are
what the network gives: ``[B, (L + 1) V, E]``.

Axes: B batch, V vectors of a row, E width, L layers, h subspaces, N = V h, C = E / h.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import xavier_slices_
from hemix.models.pictures import Axis, Look, Picture

Activation = Literal["none", "tanh", "relu", "sigmoid"]
ACTIVATIONS = {"none": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def stacked(x_BVE: Tensor, subspaces: int) -> Tensor:
    """Chunks of the width below one another, chunk by chunk: ``[B, V, E] -> [B, N, C]``."""
    return x_BVE if subspaces == 1 else torch.cat(x_BVE.chunk(subspaces, 2), 1)


def unstacked(x_BNC: Tensor, subspaces: int) -> Tensor:
    """Back: ``[B, N, C] -> [B, V, E]``."""
    return x_BNC if subspaces == 1 else torch.cat(x_BNC.chunk(subspaces, 1), 2)


class PolynomialInteractions(nn.Module):
    """PIN: ``[B, V, E] -> [B, V, E]``, without residual ``[B, (L + 1) V, E]``.

    Args:
        vectors: V.
        layers: L; 0 gives the input back.
        subspaces: h; it divides E.
        residual: whether a layer adds its input.
        activation: of the linear function.
        dropout: share of the linear function's input that is dropped in training.

    Example:
        >>> PolynomialInteractions(5, 3, subspaces=2)(torch.zeros(7, 5, 4)).shape
        torch.Size([7, 5, 4])
    """

    def __init__(
        self,
        vectors: int,
        layers: int,
        *,
        subspaces: int = 1,
        residual: bool = True,
        activation: Activation = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.subspaces, self.residual = subspaces, residual
        rows = vectors * subspaces
        self.weights = nn.ParameterList(
            xavier_slices_(torch.empty(rows, rows)) for _ in range(layers)
        )
        self.activation, self.dropout = ACTIVATIONS[activation](), Dropout(dropout)

    @property
    def depth(self) -> int:
        """L."""
        return len(self.weights)

    def linear(self, layer: int, x0_BNC: Tensor, context_BD: Tensor) -> Tensor:
        """W_l X_0: ``[B, N, C]``. ``context``: the row's vectors side by side, for subclasses."""
        return self.weights[layer] @ x0_BNC

    def layers(self, x_BVE: Tensor) -> list[Tensor]:
        """X_0 to X_L, stacked ``[B, N, C]``."""
        x0_BNC = stacked(x_BVE, self.subspaces)
        context_BD, found = x_BVE.detach().flatten(1), [x0_BNC]
        for layer in range(self.depth):
            by = self.activation(self.linear(layer, self.dropout(x0_BNC), context_BD))
            x_BNC = found[-1]
            found.append(x_BNC * by + x_BNC if self.residual else x_BNC * by)
        return found

    def forward(self, x_BVE: Tensor) -> Tensor:
        found = self.layers(x_BVE)
        wanted = found[-1:] if self.residual else found
        return torch.cat([unstacked(x_BNC, self.subspaces) for x_BNC in wanted], 1)

    def pictures(self, look: Look) -> Iterator[Picture]:
        """The size of each pair's weight, layer by layer; the mean over subspaces."""
        for number, weight in enumerate(self.weights, 1):
            size = weight.shape[0] // self.subspaces
            folded = weight.reshape(self.subspaces, size, self.subspaces, size).abs().mean((0, 2))
            zero = float((weight == 0).double().mean())
            names = look.vectors
            if len(names) != size:
                names = tuple(str(at + 1) for at in range(size))
            yield Picture(
                title=f"Pairs of fields in polynomial layer {number}: {zero:.0%} of the weights are 0",
                reading="How large the weight is by which the field of a line is multiplied with that of "
                "a column; an empty cell is a pair that the layer does not use.",
                axes=(Axis(title="field", labels=names), Axis(title="times", labels=names)),
                values=folded,
                unit="size of the weight",
            )

    def flops(self, vectors: int, width: int) -> int:
        """Of a row: each layer one product of matrices, one product and one sum of entries."""
        rows = vectors * self.subspaces
        one = 2 * rows * vectors * width + (2 if self.residual else 1) * vectors * width
        return len(self.weights) * one
