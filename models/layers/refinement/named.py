"""The refinements by the name that a recipe gives them, and what stands in a ranker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from hemix.errors import DefinitionError
from hemix.models.layers.named import Named
from hemix.models.layers.refinement.adjusted import FeatureAdjusted
from hemix.models.layers.refinement.base import Refinement, RefinementConfig
from hemix.models.layers.refinement.complementary import FRNet, FRNetV
from hemix.models.layers.refinement.contextual import ContextualBlocks, ContextualEmbedding
from hemix.models.layers.refinement.dimension_attention import DimensionAttention
from hemix.models.layers.refinement.field_attention import FieldAttention
from hemix.models.layers.refinement.field_level import GatedFieldLevel
from hemix.models.layers.refinement.field_network import FieldNetwork
from hemix.models.layers.refinement.gates import BGate, VGate
from hemix.models.layers.refinement.input_aware import DualInputAware, InputAware
from hemix.models.layers.refinement.squeeze import SENET

RefinementName = Literal[
    "fen",
    "senet",
    "fwn",
    "dfen",
    "drm",
    "fal",
    "vgate",
    "bgate",
    "selfatt",
    "tce",
    "pffn",
    "gfrl",
    "frnet_v",
    "frnet_b",
]
Refine = Literal["none"] | RefinementName
NAMES: tuple[RefinementName, ...] = get_args(RefinementName)
ALIKE: dict[str, Callable[[int, int, RefinementConfig], Refinement]] = {
    "fen": InputAware,
    "senet": SENET,
    "fwn": FieldNetwork,
    "dfen": DualInputAware,
    "drm": DimensionAttention,
    "vgate": VGate,
    "bgate": BGate,
    "selfatt": FieldAttention,
    "tce": ContextualEmbedding,
    "pffn": ContextualBlocks,
    "gfrl": GatedFieldLevel,
    "frnet_v": FRNetV,
    "frnet_b": FRNet,
}
"""Those that take all fields alike; ``fal`` asks which are whose."""
SHARED = "all"
"""The name of the one refinement that all branches read."""


def refinement(
    name: RefinementName,
    fields: int,
    width: int,
    config: RefinementConfig,
    *,
    user: Sequence[int] = (),
    item: Sequence[int] = (),
) -> Refinement:
    """A new refinement.

    Args:
        name: which.
        fields: F.
        width: d.
        config: its shape.
        user: places of the request's fields among the F; read by ``fal``.
        item: places of the item's fields; read by ``fal``.

    Raises:
        DefinitionError: ``fal`` where the request or the item has no field.
    """
    if name != "fal":
        return ALIKE[name](fields, width, config)
    if not user or not item:
        raise DefinitionError(
            "model.refine=fal needs fields of the user or context and fields of the item; one of "
            "the two has none.",
            hint="Choose another refinement, such as gfrl.",
        )
    return FeatureAdjusted(fields, width, user=user, item=item)


class Refinements(Named):
    """The refinements of a ranker by the branch that reads them; none: vectors stay as they are."""

    def refined(self, x_BFd: Tensor, branches: Sequence[str]) -> dict[str, Tensor]:
        """What each of ``branches`` reads of a row's vectors ``[B, F, d]``."""
        if SHARED in self:
            x_BFd = self[SHARED](x_BFd)
        return {name: self[name](x_BFd) if name in self else x_BFd for name in branches}

    def weights(self, x_BFd: Tensor) -> dict[str, Tensor]:
        """Each refinement's weights of a row's vectors, to look at; shapes are the modules' own."""
        return {name: _one(module).weights(x_BFd) for name, module in self.items()}

    def flops(self) -> int:
        """Forward FLOPs of a row; all are a candidate's, for each vector depends on all of them."""
        return sum(_one(module).flops() for module in self.values())


def refinements_of(
    refine: Refine | Mapping[str, Refine],
    *,
    separate: bool,
    branches: Sequence[str],
    make: Callable[[RefinementName], Refinement],
) -> Refinements:
    """The refinements that a recipe asks for.

    Args:
        refine: one for all branches, or the branches' own.
        separate: one of that kind for each branch, with weights of its own.
        branches: the ranker's.
        make: a new one.

    Raises:
        DefinitionError: the ranker has no such branch, or not two.
    """
    if isinstance(refine, str):
        if refine == "none":
            return Refinements()
        if not separate:
            return Refinements({SHARED: make(refine)})
        refine = dict.fromkeys(branches, refine)
    elif unknown := sorted(set(refine) - set(branches)):
        raise DefinitionError(
            f"model.refine: the ranker has no branch {unknown[0]!r}.",
            hint=f"Its branches: {', '.join(branches)}.",
        )
    if separate and len(branches) < 2:
        raise DefinitionError(
            "model.refine_separate=true: the ranker has one branch, so there is nothing to separate.",
            hint="Set model.refine_separate=false.",
        )
    return Refinements({name: make(one) for name, one in refine.items() if one != "none"})


def _one(module: nn.Module) -> Refinement:
    assert isinstance(module, Refinement)
    return module
