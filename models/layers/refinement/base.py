"""What every refinement is: a map of a row's field vectors, ``[B, F, d] -> [B, F, d]``.

The layer stands between the embedding and the interaction of any ranker that sees its fields as
vectors. The modules of this package are those of the RefineCTR benchmark (Wang et al.,
arXiv 2311.04625); each file names the module's own paper and where the two differ.

Axes: B batch, F fields (all vectors of a row, those of its sequences too), d embedding width,
``z = flat(E) [B, F d]``. Deviations from the released code, for all modules:

- Its batch norms are LayerNorms here unless ``norm="batch"``, for running statistics depend on how a
  batch is shared among processes. Weights trained with batch norm can also be loaded with
  ``norm="none"``: in evaluation it is affine and folds into the Linear before it.
- Stacked weights ``[F, d, d]`` are initialised slice by slice (``init="slices"``, biases 0).
  ``init="released"`` is torch's Xavier over the stack, which counts F in the fans: weights are
  several times smaller, and biases are drawn too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import Norm, mlp_flops, norm_of, xavier_slices_
from hemix.models.pictures import Axis, Look, Picture
from hemix.texts.frozen import Frozen

Activation = Literal["relu", "prelu"]


class RefinementConfig(Frozen):
    """Shape of the refinement; a field that the chosen module does not have is not read."""

    hidden: tuple[int, ...] | None = None
    """Hidden widths of the module's MLP over all fields; null: the benchmark's (fen, dfen: 256, 256,
    256; gfrl: 256; frnet: 128)."""
    norm: Norm = "layer"
    """What stands behind each layer of that MLP; the released code has batch norm. batch: over the rows
    of a whole step, so one process and one part a step."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of that MLP's units dropped in training."""
    init: Literal["slices", "released"] = "slices"
    """First weights of the per-field matrices: Xavier for each field's own, or over the stack as in
    the released code (several times smaller)."""
    heads: int | None = Field(default=None, ge=1)
    """Attention heads; null: the benchmark's (selfatt 8, dfen 4)."""
    head_width: int | None = Field(default=None, ge=1)
    """Width of an attention head; null: the benchmark's (selfatt and frnet 16, dfen the embedding
    width)."""
    attention_scale: Literal["width", "released"] = "width"
    """dfen: attention is divided by the root of the head's width, or of that width divided by the
    heads, as in the released code."""
    reduction: int = Field(default=2, ge=1)
    """senet: by how much the squeeze is narrower than the number of fields."""
    squeeze: Literal["mean", "max"] = "mean"
    """senet: what stands for a field's vector; the paper takes the mean, the benchmark the maximum."""
    projection: int | None = Field(default=None, ge=1)
    """tce, pffn: width of a field's view of the row; null: the benchmark's (tce: twice the embedding
    width, pffn: 32)."""
    shared_aggregation: bool = False
    """tce, pffn: all fields share one view of the row."""
    blocks: int = Field(default=3, ge=1)
    """pffn: how often the feed-forward layer is applied, with the same weights."""
    softmax: Literal["fields", "released"] = "fields"
    """fen: weights of mean 1 behind a linear layer, as in the paper, or of sum 1 behind another layer
    with ReLU, as in the released code."""
    context: Activation = "prelu"
    """frnet: activation of the context; the paper has prelu, the authors' first code relu."""


class Refinement(nn.Module):
    """Base of the modules: a subclass defines :meth:`refine` and :meth:`flops`.

    ``meaning``: what a high weight means, for people.
    """

    meaning: ClassVar[str] = "high: the field's vector is passed on larger"

    def __init__(self, fields: int, width: int) -> None:
        super().__init__()
        self.fields, self.width = fields, width

    def forward(self, e_BFd: Tensor) -> Tensor:
        """The refined vectors ``[B, F, d]``."""
        return self.refine(e_BFd)[0]

    def weights(self, e_BFd: Tensor) -> Tensor:
        """What :meth:`refine` weighed with, to look at; its shape is the module's own."""
        return self.refine(e_BFd)[1]

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        """The refined vectors and the weights that they come from."""
        raise NotImplementedError

    def by_field(self, weights: Tensor) -> Tensor:
        """One number a row and field, ``[B, F]``, of :meth:`weights`: here their mean."""
        return weights.flatten(2).mean(2) if weights.ndim > 2 else weights

    def pictures(self, look: Look) -> Iterator[Picture]:
        """The weights of the fields, row by row."""
        for call in look.calls(self):
            values_BF = self.by_field(self.weights(call.inputs[0])).float().cpu()
            names = look.vectors if len(look.vectors) == self.fields else _numbered(self.fields)
            yield Picture(
                title=f"Refinement: weights of the fields ({type(self).__name__})",
                reading=f"Each line is a row, each column a field; {self.meaning}.",
                axes=(Axis(title="row", labels=look.rows), Axis(title="field", labels=names)),
                values=values_BF,
                middle=0.0 if bool((values_BF < 0).any()) else None,
                about="rows",
            )

    def flops(self) -> int:
        """Forward FLOPs of a row, 2 a multiply-add."""
        raise NotImplementedError


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"vector {number}" for number in range(1, count + 1))


class RefinementMLP(nn.Module):
    """``[B, D] -> [B, widths[-1]]``: Linear, norm, activation, dropout for every width."""

    def __init__(
        self,
        width: int,
        widths: Sequence[int],
        config: RefinementConfig,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.input, self.widths = width, tuple(widths)
        self.linears, self.norms, self.activations = (nn.ModuleList() for _ in range(3))
        for out in widths:
            linear = nn.Linear(width, out)
            nn.init.xavier_uniform_(linear.weight)
            self.linears.append(linear)
            self.norms.extend(norm_of(config.norm, out) or [nn.Identity()])
            self.activations.append(activation_of(activation))
            width = out
        self.width = width
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BD: Tensor) -> Tensor:
        for linear, norm, act in zip(self.linears, self.norms, self.activations, strict=True):
            x_BD = self.dropout(act(norm(linear(x_BD))))
        return x_BD

    def flops(self) -> int:
        return mlp_flops(self.input, self.widths)


def activation_of(name: Activation) -> nn.Module:
    """A ReLU, or a PReLU of one slope, .25 at first."""
    return nn.PReLU() if name == "prelu" else nn.ReLU()


def stacked(config: RefinementConfig, *shape: int) -> nn.Parameter:
    """New matrices ``[..., fan_in, fan_out]``, one a field."""
    weight = torch.empty(*shape)
    if config.init == "released":
        return nn.Parameter(nn.init.xavier_uniform_(weight))
    return nn.Parameter(xavier_slices_(weight))


def stacked_bias(config: RefinementConfig, *shape: int) -> nn.Parameter:
    """New biases ``[F, 1, d]``, 0 unless the released initialisation is wanted."""
    bias = torch.zeros(*shape)
    return nn.Parameter(nn.init.xavier_uniform_(bias) if config.init == "released" else bias)


def per_field(e_BFd: Tensor, weight_Fde: Tensor) -> Tensor:
    """Each field's vector times its own matrix: ``[B, F, d] [F, d, e] -> [B, F, e]``."""
    return torch.einsum("bfd,fde->bfe", e_BFd, weight_Fde)
