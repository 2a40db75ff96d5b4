"""xDeepInt: a polynomial interaction network over vectors cut into subspaces, and a linear head.

Paper: Yan and Li, "xDeepInt: A Hybrid Architecture for Modeling the Vector-wise and Bit-wise Feature
Interactions", DLP-KDD 2020, arXiv 2301.01089:

    X_l = X_{l-1} * (W_{l-1} X_0) + X_{l-1}                 l = 1 .. L
    logit_t = sum_e (sum_v w_tv X_Lve + b_t)

(:mod:`hemix.models.layers.interactions.polynomial`). No deep network and no first-order term: the
head's part of X_0 is one. The paper trains the tables with Group-FTRL and W with FTRL; here as the
recipe says.

Axes: B batch, V vectors of a row, E embedding width, h subspaces. INFERRED: a head a task.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hemix.models.layers.dense import xavier_slices_
from hemix.models.layers.interactions.polynomial import Activation, PolynomialInteractions
from hemix.models.rankers.fields import FieldRanker, FieldRankerConfig
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class PolynomialConfig(FieldRankerConfig):
    """Shape that xDeepInt and DynInt share."""

    search: ClassVar[Space] = {
        **FieldRankerConfig.search,
        "layers": Range(low=1, high=4),
        "subspaces": Choice(choices=(1, 2, 4, 8)),
    }

    layers: int = Field(default=3, ge=0)
    """L: interaction layers; layer l holds products up to order l + 1."""
    subspaces: int = Field(default=4, ge=1)
    """h: chunks into which the vectors are cut; it divides the embedding width."""

    @model_validator(mode="after")
    def _fits(self) -> PolynomialConfig:
        if self.embedding.width % self.subspaces:
            raise ValueError(
                f"subspaces: {self.subspaces} does not divide embedding.width {self.embedding.width}"
            )
        if self.tower:
            raise ValueError("tower: the head is one linear unit")
        return self


class XDeepIntConfig(PolynomialConfig):
    """Shape of an xDeepInt."""

    search: ClassVar[Space] = {
        **PolynomialConfig.search,
        "activation": Choice(choices=("none", "tanh")),
    }

    activation: Activation = "none"
    """Of a layer's linear function; none is the paper's best."""
    residual: bool = True
    """Whether a layer adds its input; without, the head reads the outputs of all layers."""


class VectorHead(nn.Module):
    """``sum_e (w_t . x_e + b_t)``: ``[B, V, E] -> [B, T]``, one weight a vector.

    Example:
        >>> VectorHead(5, 2)(torch.zeros(7, 5, 4)).shape
        torch.Size([7, 2])
    """

    def __init__(self, vectors: int, tasks: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier_slices_(torch.empty(tasks, vectors)))
        self.bias = nn.Parameter(torch.zeros(tasks))

    def forward(self, x_BVE: Tensor) -> Tensor:
        return x_BVE.sum(2) @ self.weight.T + x_BVE.shape[2] * self.bias


class PolynomialRanker(FieldRanker):
    """A polynomial network and the head; a subclass makes the network."""

    interactions = ("network", "head")

    def __init__(self, spec: FeatureSpec, config: PolynomialConfig) -> None:
        super().__init__(spec, config)
        self.config, vectors = config, sum(self.groups)
        self.network = self.make_network(config)
        read = vectors if self.network.residual else vectors * (config.layers + 1)
        self.head = VectorHead(read, len(spec.tasks))

    def make_network(self, config: PolynomialConfig) -> PolynomialInteractions:
        """The polynomial network over this ranker's vectors."""
        raise NotImplementedError

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        logit_BT = self.head(self.network(x_BVE))
        return {task.name: logit_BT[:, index] for index, task in enumerate(self.spec.tasks)}

    def flops_per_sample(self) -> dict[str, int]:
        """All but the events' share of the attention is a candidate's."""
        width, tasks = self.config.embedding.width, len(self.spec.tasks)
        request, candidate = self.input_flops()
        candidate += self.network.flops(sum(self.groups), width)
        candidate += self.head.weight.shape[1] * (width + 2 * tasks)
        return {"request": request, "candidate": candidate}


class XDeepInt(PolynomialRanker):
    """xDeepInt (Yan and Li, DLP-KDD 2020); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> XDeepInt(toy_spec(), XDeepIntConfig())(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "xdeepint"
    config_type = XDeepIntConfig

    def make_network(self, config: PolynomialConfig) -> PolynomialInteractions:
        """The polynomial network over this ranker's vectors."""
        assert isinstance(config, XDeepIntConfig)
        return PolynomialInteractions(
            sum(self.groups),
            config.layers,
            subspaces=config.subspaces,
            residual=config.residual,
            activation=config.activation,
            dropout=config.dropout,
        )
