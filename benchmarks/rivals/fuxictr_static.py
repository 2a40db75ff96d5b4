"""FuxiCTR's models of static rows, by its own trainer, on the same transformed rows.

``python -m benchmarks.rivals.fuxictr_static REQUEST.json`` trains one model and writes its test
scores; :mod:`benchmarks.static.peer` asks for it. FuxiCTR's package leaves out these models:
``zoo`` in the request is ``model_zoo`` of a checkout of its repository. The environment is that of
``requirements-fuxictr.txt`` beside this file. Its trainer cuts the rate tenfold whenever validation
AUC fails to rise, and stops at the second failure; ours has its own schedule.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.torch_utils import seed_everything
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.spec import FeatureSpec

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gdcn": ("GDCN.src.GDCN", "GDCNP", {"num_cross_layers": 3, "dnn_hidden_units": [128, 64]}),
    "xdeepfm": ("xDeepFM.src.xDeepFM", "xDeepFM", {"dnn_hidden_units": [128, 64]}),
    "fibinet": ("FiBiNET.src.FiBiNET", "FiBiNET", {"hidden_units": [128, 64]}),
    "dcnv2": ("DCNv2.src.DCNv2", "DCNv2", {"parallel_dnn_hidden_units": [128, 64]}),
}
"""Module in the zoo, class, and the deep network's widths, which are those of ours."""


def feature_map(spec: FeatureSpec, width: int) -> FeatureMap:
    """The contract in FuxiCTR's words."""
    found = FeatureMap("hemix", "")
    found.features = OrderedDict(
        (
            field.name,
            {
                "type": "categorical",
                "source": "",
                "padding_idx": 0,
                "vocab_size": spec.vocabulary(field.vocabulary).size,
            },
        )
        for field in spec.categorical
    )
    found.labels = [spec.tasks[0].column]
    found.num_fields = len(spec.categorical)
    found.default_emb_dim = width
    return found


class Loader:
    """Batches of one split as FuxiCTR takes them; each pass is the next epoch of its reader."""

    def __init__(self, spec: FeatureSpec, reader: ParquetReader) -> None:
        self.spec, self.reader, self.epoch = spec, reader, 0

    def __len__(self) -> int:
        return self.reader.batches

    def _inputs(self, batch: Batch) -> dict[str, Tensor]:
        task = self.spec.tasks[0]
        return {**batch.ids, task.column: batch.labels[task.name]}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        yield from map(self._inputs, self.reader.epoch(self.epoch))
        self.epoch += 1


def main(request: Path) -> None:
    """Train what ``request`` asks for; write ``scores`` (npz) and ``record`` (JSON) where it says."""
    logging.basicConfig(level=logging.WARNING)
    asked = json.loads(request.read_text())
    torch.set_num_threads(asked["threads"])
    seed_everything(asked["seed"])
    sys.path.insert(0, asked["zoo"])
    spec = FeatureSpec.read(Path(asked["transform"]) / "spec.json")
    transformed = Path(asked["transformed"])

    def loader(split: str, **settings: Any) -> Loader:
        return Loader(spec, ParquetReader(spec, [transformed / split], **settings))

    fit = loader("train", batch_size=asked["batch_size"], seed=asked["seed"],
                 shuffle_rows=131_072, drop_last=True)  # fmt: skip
    validation = loader("validation", batch_size=4096)
    module, name, shape = MODELS[asked["model"]]
    kind = getattr(importlib.import_module(module), name)
    fields = feature_map(spec, asked["width"])
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / fields.dataset_id).mkdir()
        model = kind(
            fields, model_root=folder, verbose=0, metrics=["AUC", "logloss"], monitor="AUC",
            optimizer="adam", loss="binary_crossentropy", embedding_dim=asked["width"],
            learning_rate=asked["learning_rate"], net_dropout=asked["dropout"],
            embedding_regularizer=asked["regularizer"], **shape,
        )  # fmt: skip
        model.fit(fit, epochs=asked["epochs"], validation_data=validation)
    seconds = time.monotonic() - started
    auc = model.evaluate(validation)["AUC"]
    scores = model.predict(loader("test", batch_size=4096))
    tables = sum(p.numel() for n, p in model.named_parameters() if "embedding_layer" in n)
    record = {
        "validation": {spec.tasks[0].name: float(auc)},
        "parameters": {
            "embedding": tables,
            "dense": sum(p.numel() for p in model.parameters()) - tables,
        },
        "seconds": round(seconds, 1),
    }
    np.savez_compressed(asked["scores"], **{spec.tasks[0].name: scores.astype(np.float32)})
    Path(asked["record"]).write_text(json.dumps(record))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
