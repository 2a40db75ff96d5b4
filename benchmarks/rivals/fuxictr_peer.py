"""A peer nobody here wrote: FuxiCTR's own models and trainer on the transformed data of a run.

``python -m benchmarks.rivals.fuxictr_peer REQUEST.json`` trains one model and writes its test scores;
:mod:`benchmarks.accuracy.peer` asks for it. It runs in an environment of its own
(``requirements-fuxictr.txt`` beside this file): FuxiCTR brings Ray, which nothing else here needs.

What it is given: the same rows in the same order, ids and scaled numbers, embedding width, batch
size and epochs. What it cannot use: its models learn one task, and read one sequence by the columns
that event and candidate share, so it gets both sequences one after the other, without action and
time gap.
"""

from __future__ import annotations

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
from model_zoo.LongCTR import DIN, DCNv2, FinalMLP
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.spec import FeatureSpec

MODELS: dict[str, tuple[type, dict[str, Any]]] = {
    "din": (DIN, {}),
    "dcnv2": (DCNv2, {"num_cross_layers": 2, "parallel_dnn_hidden_units": [128, 64]}),
    "finalmlp": (FinalMLP, {}),
}
"""FuxiCTR's defaults, except that its DCN V2 has no deep network unless told."""

Inputs = tuple[dict[str, Tensor], dict[str, Tensor], Tensor]


class Peer:
    """Maps a :class:`FeatureSpec` and its batches to what FuxiCTR's long-sequence models take."""

    def __init__(self, spec: FeatureSpec, task: str, width: int) -> None:
        self.spec = spec
        self.label = next(t.column for t in spec.tasks if t.name == task)
        targets = {f.vocabulary: f.name for f in spec.categorical if f.side == "item"}
        columns = spec.sequences[0].columns
        self.shared = [
            (i, targets[c.vocabulary]) for i, c in enumerate(columns) if c.vocabulary in targets
        ]
        names = {name for _, name in self.shared}
        features: OrderedDict[str, dict[str, Any]] = OrderedDict()
        for field in spec.categorical:
            size = spec.vocabulary(field.vocabulary).size
            features[field.name] = {
                "type": "categorical", "vocab_size": size,
                **({"source": "item", "padding_idx": 0} if field.name in names else {"source": ""}),
            }  # fmt: skip
        for number in spec.numeric:
            features[number.bucket] = {
                "type": "categorical",
                "source": "",
                "vocab_size": number.buckets,
            }
            features[number.name] = {"type": "numeric", "source": ""}
        self.map = FeatureMap("hemix", "")
        self.map.features, self.map.labels = features, [self.label]
        self.map.default_emb_dim = width

    def inputs(self, batch: Batch) -> Inputs:
        """Fields ``[B]``, shared columns of events and candidate ``[B * (L + 1)]``, mask ``[B, L]``."""
        fields = {**batch.ids, **batch.numbers, self.label: batch.labels[self._task]}
        parts = [batch.lists[s.name].padded(1) for s in self.spec.sequences]
        ids_CBL = torch.cat([ids for ids, _ in parts], -1)
        mask_BL = torch.cat([mask for _, mask in parts], -1)
        items = {
            name: torch.cat([ids_CBL[i], batch.ids[name][:, None]], 1).flatten()
            for i, name in self.shared
        }
        rest = {name: value for name, value in fields.items() if name not in items}
        return rest, items, mask_BL.float()

    @property
    def _task(self) -> str:
        return next(t.name for t in self.spec.tasks if t.column == self.label)


class Loader:
    """Batches of one split; each pass is the next epoch of its reader."""

    def __init__(self, peer: Peer, reader: ParquetReader) -> None:
        self.peer, self.reader, self.epoch = peer, reader, 0

    def __len__(self) -> int:
        return self.reader.batches

    def __iter__(self) -> Iterator[Inputs]:
        yield from map(self.peer.inputs, self.reader.epoch(self.epoch))
        self.epoch += 1


def main(request: Path) -> None:
    """Train what ``request`` asks for; write ``scores`` (npz) and ``record`` (JSON) where it says."""
    logging.basicConfig(level=logging.WARNING)
    asked = json.loads(request.read_text())
    torch.set_num_threads(asked["threads"])
    seed_everything(asked["seed"])
    spec = FeatureSpec.read(Path(asked["transform"]) / "spec.json")
    transformed = Path(asked["transformed"])
    peer = Peer(spec, asked["task"], asked["width"])

    def loader(split: str, **settings: Any) -> Loader:
        return Loader(peer, ParquetReader(spec, [transformed / split], **settings))

    fit = loader("train", batch_size=asked["batch_size"], seed=asked["seed"],
                 shuffle_rows=131_072, drop_last=True)  # fmt: skip
    validation = loader("validation", batch_size=4096)
    kind, shape = MODELS[asked["model"]]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / peer.map.dataset_id).mkdir()
        model = kind(
            peer.map, model_root=folder, verbose=0, metrics=["AUC", "logloss"], monitor="AUC",
            optimizer="adam", loss="binary_crossentropy", embedding_dim=asked["width"],
            eval_steps=max(len(fit) // 2, 1), learning_rate=asked["learning_rate"],
            net_dropout=asked["dropout"], **shape,
        )  # fmt: skip
        model.fit(fit, epochs=asked["epochs"], validation_data=validation)
    seconds = time.monotonic() - started
    auc = model.evaluate(validation)["AUC"]
    scores = model.predict(loader("test", batch_size=4096))
    tables = sum(p.numel() for n, p in model.named_parameters() if "embedding_layers" in n)
    record = {
        "validation": {asked["task"]: float(auc)},
        "parameters": {
            "embedding": tables,
            "dense": sum(p.numel() for p in model.parameters()) - tables,
        },
        "seconds": round(seconds, 1),
    }
    np.savez_compressed(asked["scores"], **{asked["task"]: scores.astype(np.float32)})
    Path(asked["record"]).write_text(json.dumps(record))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
