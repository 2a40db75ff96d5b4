"""What a HeMix costs: FLOPs of its parts at full lengths, 2 a multiply-add.

Keys and values are folded away (models/layers/attention/fold.py).
Norms, softmaxes and products of weights with weights (once per batch, not once per sample) are left
out. Axes as in :mod:`hemix.models.rankers.hemix.model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hemix.models.layers.dense import mlp_flops
from hemix.models.rankers.hemix.config import HeMixConfig, SequenceName
from hemix.models.rankers.hemix.variants import DIN_HIDDEN

if TYPE_CHECKING:
    from hemix.models.rankers.hemix.model import HeMix


def flops(model: HeMix) -> dict[str, int]:
    """``request``: shared by a request's candidates; ``candidate``: of one candidate."""
    c, d = model.config, model.config.token_width
    inputs = model.tokenizer.inputs
    both = sum(inputs)
    made = c.num_tokenizer_outputs * d
    # The request's share of a product over all fields: the split's, or that of what precedes it.
    out = both if c.crosses else c.tokenizer_hidden or made
    request, candidate = 2 * inputs[0] * out, 2 * inputs[1] * out
    if model.refinements:  # the request's fields differ from candidate to candidate
        request, candidate = 0, request + candidate + model.refinements.flops()
    if c.crosses:
        candidate += 2 * both * ((c.crosses - 1) * both + (c.tokenizer_hidden or made))
    if c.tokenizer_hidden:
        candidate += 2 * c.tokenizer_hidden * made
    for sequence, name in zip(model.sequences, c.active_sequences, strict=True):
        width = len(sequence.columns) * c.embedding.width
        shared, own = interest_flops(c, name, sequence.max_length, width)
        request, candidate = request + shared, candidate + own
        request += encoder_flops(c, sequence.max_length, width)
    shared, own = model.candidate.flops()
    request, candidate = request + shared, candidate + own
    candidate += c.blocks * block_flops(c, model.count)
    readout = d * (model.count if c.readout == "flatten" else 1)
    candidate += len(model.spec.tasks) * mlp_flops(readout, (*c.tower, 1))
    return {"request": request, "candidate": candidate}


def interest_flops(
    config: HeMixConfig, name: SequenceName, length: int, event_width: int
) -> tuple[int, int]:
    """FLOPs of a sequence of ``length`` events of ``event_width``: a request's, a candidate's."""
    d, separate = config.token_width, config.item_projection == "separate"
    if config.interest == "mean":
        return 2 * event_width * d + (2 * d * d if separate else 0), 0
    if config.interest == "din":
        values = 2 * length * event_width * d + (2 * length * d * d if separate else 0)
        return values, length * (mlp_flops(4 * d, (*DIN_HIDDEN, 1)) + 2 * d)
    dynamic, fixed = config.queries(name)
    null, heads = config.null_item, config.attention_heads
    # Into the events' space (the null item's score beside) and back.
    fold = through(d, heads, event_width + null)
    read = 4 * length * heads * event_width + through(d, heads, event_width + (null or separate))
    request = fixed * read
    if config.interest == "recent":  # its queries differ from row to row
        project = 2 * event_width * d + (2 * d * d if separate else 0)
        request += fixed * (project + fold)
    return request, dynamic * (fold + read)


def encoder_flops(config: HeMixConfig, length: int, event_width: int) -> int:
    """FLOPs of the layer that ``encode_events`` puts over a sequence."""
    if not config.encode_events:
        return 0
    weights = 4 * event_width * config.token_width + 2 * config.ffn_expansion * event_width**2
    return 2 * length * weights + 4 * length**2 * config.token_width


def through(width: int, heads: int, event_width: int) -> int:
    """FLOPs of a query's two products, or of the one that they make when that is cheaper."""
    return 2 * min(width * (width + event_width), width * heads * event_width)


def block_flops(config: HeMixConfig, tokens: int) -> int:
    """FLOPs of one block over ``tokens`` for one candidate."""
    n, d = tokens, config.token_width
    matrix = 2 * config.ffn_expansion * n * d * d
    if config.mixer == "tokenmixer_large":
        return 6 * matrix
    ffn = (3 if config.ffn == "swiglu" else 2) * matrix
    mixing = {
        "hetero": 4 * n * d * (config.rank or n * d // config.mix_heads),
        "transformer": 8 * n * d * d + 4 * n * n * d,
        "rankmixer": 0,
        "none": 0,
    }[config.mixer]
    return mixing + ffn
