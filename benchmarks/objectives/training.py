"""One training: its test and validation scores on rows as they are and on one state, kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.data import Scores, read_scores, write_scores
from benchmarks.accuracy.training import what_counts
from benchmarks.objectives.held_out import Splits
from hemix.files import digest_of, read_json, write_json
from hemix.models.metrics import pointwise as metrics
from hemix.models.training.recipes import recipe_of
from hemix.models.training.suited import as_written
from hemix.models.training.trainer import Trainer
from hemix.progress import say


def train(
    splits: Splits, recipe: str, seed: int, overrides: Mapping[str, str]
) -> tuple[dict[str, Any], Scores]:
    """Train unless it is kept; the record and the test scores.

    The record: ``validation`` GAUC on one state a task, ``terms`` of the last point of the curve,
    ``seconds``.
    """
    chosen = as_written(recipe_of(recipe, {**overrides, "training.seed": str(seed)}))
    name = f"{recipe}-{seed}-{digest_of([what_counts(chosen), splits.data.digest], 8)}"
    kept, scored = splits.folder / f"{name}.json", splits.folder / f"{name}.npz"
    if kept.exists() and scored.exists():
        return dict(read_json(kept)), read_scores(scored)
    say(f"{recipe}, seed {seed} {dict(overrides) or ''}")
    data = splits.data
    with tempfile.TemporaryDirectory() as checkpoints:
        folders = data.transformed / "train", data.transformed / "validation"
        trained = Trainer(chosen, data.spec, *folders, Path(checkpoints), tell=lambda _: None).run()
    held = splits.validation
    scores = held.scores(trained.ranker)
    gaucs = {
        task: float(metrics.gauc(y, np.asarray(scores[f"{task}/shared"], float), held.users))
        for task, y in held.labels.items()
    }
    record: dict[str, Any] = {
        "validation": gaucs,
        "auc": {k: v for k, v in trained.metrics.items() if k.endswith("_auc")},
        "terms": trained.state.curve[-1].terms,
        "seconds": round(trained.seconds, 1),
    }
    tested = splits.test.scores(trained.ranker)
    splits.folder.mkdir(parents=True, exist_ok=True)
    write_scores(scored, tested)
    write_json(kept, record)
    return record, tested
