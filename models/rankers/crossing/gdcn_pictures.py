"""What gated crosses show: how much each pair of fields weighs, and what the gates let through.

Wang et al., CIKM 2023, arXiv 2311.04635, section 4.4: the importance of a pair is the Frobenius norm
of its block of a layer's matrix; gates are looked at row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hemix.models.layers.dense import split_axis
from hemix.models.layers.interactions.crosses import GatedCross
from hemix.models.pictures import Axis, Look, Picture

if TYPE_CHECKING:
    from hemix.models.rankers.crossing.gdcn import GatedCrosses


def pair_importance(weight_DD: Tensor, vectors: int) -> Tensor:
    """``[V, V]``: the norms of the blocks of a matrix over V vectors of one width.

    Example:
        >>> pair_importance(torch.ones(4, 4), 2)
        tensor([[2., 2.],
                [2., 2.]])
    """
    width = len(weight_DD) // vectors
    blocks: Tensor = weight_DD.reshape(vectors, width, vectors, width).transpose(1, 2)
    return blocks.flatten(2).norm(dim=2)


def gated_pictures(crosses: GatedCrosses, look: Look, width: int) -> Iterator[Picture]:
    """Of crosses over vectors of ``width``; none when the vectors are of several widths."""
    vectors, layers = len(look.vectors), [*crosses.layers]
    first = layers[0]
    assert isinstance(first, GatedCross)
    if first.linear.in_features != vectors * width:
        return
    fields = Axis(title="field of the row", labels=look.vectors)
    crossed = Axis(title="is crossed with", labels=look.vectors)
    for number, layer in enumerate(layers, 1):
        assert isinstance(layer, GatedCross)
        yield Picture(
            title=f"Pairs of fields in cross layer {number}",
            reading="How large the weights are by which the field of a line is crossed with that of a "
            "column; dark: the layer makes much of the pair.",
            axes=(fields, crossed),
            values=pair_importance(layer.linear.weight, vectors),
            unit="norm of the weights",
        )
    for call in look.calls(crosses):
        gates_LBV = torch.stack(
            [split_axis(g, 1, (vectors, width)).mean(2) for g in crosses.gates(call.inputs[0])]
        )
        yield Picture(
            title="Gates of the fields, mean over the rows",
            reading="How much of each field's crosses a layer lets through, from 0 (nothing) to 1 "
            "(all); blue: more than half, orange: less.",
            axes=(
                Axis(title="layer", labels=tuple(str(n + 1) for n in range(len(layers)))),
                Axis(title="field", labels=look.vectors),
            ),
            values=gates_LBV.mean(1),
            unit="gate",
            middle=0.5,
            about="rows",
        )
        for number, gates_BV in enumerate(gates_LBV, 1):
            yield Picture(
                title=f"Gates of cross layer {number}, row by row",
                reading="As above, a line a row: fields whose colour changes from line to line are let "
                "through for some rows alone.",
                axes=(
                    Axis(title="row", labels=look.rows),
                    Axis(title="field", labels=look.vectors),
                ),
                values=gates_BV,
                unit="gate",
                middle=0.5,
                about="rows",
            )
