"""Why UniRank's HeMix is ahead: its norms, its initial weights, its padding, its embeddings.

``python -m benchmarks.accuracy.unirank --run runs/demo --seeds 5`` trains each variant once a seed, all with
the training of ``--recipe``; the first half changes our shape, the second half theirs (no cross
layer, norm in the tokenizer, mean readout, a projection of the events, no null item). Finished
trainings are kept. Rows of the test split are also measured by whether training knew their user and
item. The last line is JSON.

UniRank: Songcheng-Ren/UniRank, be133c2, arXiv 2607.19987.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData
from benchmarks.accuracy.variants import run

NORM = {"model.norm": "pre_layer"}
STACK = {"model.stacked_init": "stack"}
PADDING = {"model.null_item": "true", "model.null_form": "padding"}
FLAT = {"model.embedding.std": "0.0001"}
KEPT = {"model.embedding.id_dropout": "0"}
THEIRS = {
    "model.crosses": "0",
    "model.token_norm": "true",
    "model.readout": "mean",
    "model.item_projection": "separate",
    "model.null_item": "false",
}
"""The network that UniRank has, in our norms and initial weights."""
VARIANTS: dict[str, dict[str, str]] = {
    "HeMix": {},
    "LayerNorm before the parts": NORM,
    "smaller stacked weights": STACK,
    "no null item": {"model.null_item": "false"},
    "a null item of zeros": {"model.null_form": "zero"},
    "padding as null items": PADDING,
    "all three: norm, stacks, padding": {**NORM, **STACK, **PADDING},
    "embeddings of deviation 0.0001": FLAT,
    "no id dropout": KEPT,
    "both: 0.0001, no id dropout": {**FLAT, **KEPT},
    "all five": {**NORM, **STACK, **PADDING, **FLAT, **KEPT},
    "their shape": THEIRS,
    "their shape, LayerNorm before the parts": {**THEIRS, **NORM},
    "their shape, smaller stacked weights": {**THEIRS, **STACK},
    "their shape, padding as null items": {**THEIRS, **PADDING},
    "their shape, all three": {**THEIRS, **NORM, **STACK, **PADDING},
    "their shape, all five": {**THEIRS, **NORM, **STACK, **PADDING, **FLAT, **KEPT},
}


def slices(data: RunData) -> dict[str, NDArray[np.bool_]]:
    """Rows of the test split: user and item known to training, a new user, a new item."""
    new = {}
    for key in ("user_id", "item_id"):
        train, test = (
            pq.read_table(data.transformed / split, columns=[key])[key].to_numpy()
            for split in ("train", "test")
        )
        new[key] = ~np.isin(test, np.unique(train))
    return {
        "known user and item": ~(new["user_id"] | new["item_id"]),
        "new user": new["user_id"],
        "new item": new["item_id"],
    }


if __name__ == "__main__":
    sys.exit(run("accuracy.unirank", __doc__, VARIANTS, slices=slices))
