"""One training of one recipe: its scores of the test split, kept under a name that says all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.data import HeldOut, RunData, Scores, read_scores, write_scores
from hemix.files import digest_of, read_json, write_json
from hemix.models.metrics import pointwise as metrics
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.progress import say


def train(
    *, recipe: str, seed: int, overrides: Mapping[str, str], data: RunData, folder: Path
) -> tuple[dict[str, Any], Scores]:
    """Train ``recipe`` with ``seed`` unless ``folder`` has it; its record and its test scores.

    The record: ``validation`` AUC a task, ``parameters``, ``flops_per_sample``, ``seconds``.
    """
    import pyarrow.parquet as pq

    from hemix.models.training.trainer import Trainer
    from hemix.models.versions.inference import predict_table

    chosen = recipe_of(recipe, {**overrides, "training.seed": str(seed)})
    name = f"{recipe}-{seed}-{digest_of([_what_counts(chosen), data.digest], 8)}"
    kept, scored = folder / f"{name}.json", folder / f"{name}.npz"
    if kept.exists() and scored.exists():
        return dict(read_json(kept)), read_scores(scored)
    say(f"{recipe}, seed {seed} {dict(overrides) or ''}")
    with tempfile.TemporaryDirectory() as checkpoints:
        trained = Trainer(
            chosen,
            data.spec,
            data.transformed / "train",
            data.transformed / "validation",
            Path(checkpoints),
            tell=lambda _: None,
        ).run()
    scores: Scores = dict(predict_table(trained.ranker, pq.read_table(data.transformed / "test")))
    record: dict[str, Any] = {
        "validation": {
            key.removeprefix("validation_").removesuffix("_auc"): value
            for key, value in trained.metrics.items()
            if key.endswith("_auc")
        },
        "parameters": trained.ranker.parameter_counts(),
        "flops_per_sample": sum(trained.ranker.flops_per_sample().values()),
        "seconds": round(trained.seconds, 1),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(scored, scores)
    write_json(kept, record)
    return record, scores


def _what_counts(recipe: Recipe) -> list[Any]:
    """The recipe without settings left at their defaults: a new switch makes no old result void."""
    return [
        recipe.ranker,
        recipe.model.model_dump(exclude={"embedding"}, exclude_defaults=True),
        recipe.model.embedding.model_dump(exclude_defaults=True),
        recipe.training.model_dump(exclude_defaults=True),
    ]


def measure(test: HeldOut, scores: Scores) -> dict[str, dict[str, float]]:
    """``auc``, ``gauc``, ``logloss`` and, of lists, ``impression_auc`` per task."""
    found: dict[str, dict[str, float]] = {}
    for task, p in scores.items():
        labels, p64 = test.labels[task], np.asarray(p, dtype=np.float64)
        found[task] = {
            "auc": float(metrics.auc(labels, p64)),
            "gauc": float(metrics.gauc(labels, p64, test.users)),
            "logloss": float(metrics.logloss(labels, p64)),
        }
        if test.lists:
            found[task]["impression_auc"] = float(
                metrics.impression_auc(labels, p64, test.requests)
            )
    return found
