"""One training of one recipe: its scores of the test split, kept under a name that says all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.accuracy.data import (
    HeldOut,
    RunData,
    Scores,
    one_state_of,
    read_scores,
    write_scores,
)
from hemix.files import digest_of, read_json, write_json
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.within_user import GAUC, within_user
from hemix.models.rankers.base import Ranker
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.suited import as_written
from hemix.progress import say

Look = Callable[[Recipe, Ranker], Any]
"""Takes a recipe and its trained ranker; what a record shall say of them, as JSON."""
_NOTHING: Mapping[str, Look] = MappingProxyType({})


def train(
    *,
    recipe: str,
    seed: int,
    overrides: Mapping[str, str],
    data: RunData,
    folder: Path,
    also: Mapping[str, Look] = _NOTHING,
) -> tuple[dict[str, Any], Scores]:
    """Train ``recipe`` with ``seed`` unless ``folder`` has it; its record and its test scores.

    The record: ``validation`` AUC a task, ``parameters``, ``flops_per_sample``, ``seconds``, and
    what ``also`` finds in the trained ranker. Weights are not kept: what a kept record lacks of
    ``also`` is had by training again.

    Args:
        recipe: its name.
        seed: of weights and order.
        overrides: of the recipe's fields.
        data: the rows.
        folder: where finished trainings are kept.
        also: further keys of the record, each with what finds its value.
    """
    from hemix.models.training.trainer import Trainer

    chosen = as_written(recipe_of(recipe, {**overrides, "training.seed": str(seed)}))
    name = f"{recipe}-{seed}-{digest_of([what_counts(chosen), data.digest], 8)}"
    kept, scored = folder / f"{name}.json", folder / f"{name}.npz"
    before: dict[str, Any] = {}
    if kept.exists() and scored.exists():
        scores = read_scores(scored)
        known = dict(read_json(kept))
        if not all(one_state_of(task.name) in scores for task in data.spec.tasks):
            say(f"{name}: kept without scores of one state a user, and no weights: trained again")
        elif missing := [key for key in also if key not in known]:
            say(f"{name}: kept without {', '.join(missing)}, and no weights: trained again")
            before = known
        else:
            return known, scores
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
    scores = data.scores_of(trained.ranker)
    record: dict[str, Any] = before | {
        "validation": {
            key.removeprefix("validation_").removesuffix("_auc"): value
            for key, value in trained.metrics.items()
            if key.endswith("_auc")
        },
        "parameters": trained.ranker.parameter_counts(),
        "flops_per_sample": sum(trained.ranker.flops_per_sample().values()),
        "seconds": round(trained.seconds, 1),
        **{key: look(chosen, trained.ranker) for key, look in also.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(scored, scores)
    write_json(kept, record)
    return record, scores


def what_counts(recipe: Recipe) -> list[Any]:
    """The recipe without settings left at their defaults: a new switch makes no old result void."""
    return [
        recipe.ranker,
        recipe.model.model_dump(exclude={"embedding"}, exclude_defaults=True),
        recipe.model.embedding.model_dump(exclude_defaults=True),
        recipe.training.model_dump(exclude_defaults=True),
    ]


def measure(test: HeldOut, scores: Scores) -> dict[str, dict[str, float]]:
    """``auc``, ``logloss``, ``user_gauc`` and, of lists, ``impression_auc`` per task.

    ``user_gauc`` is of one state a user, absent where the scores hold none (FuxiCTR's models).
    """
    found: dict[str, dict[str, float]] = {}
    for task, labels in test.labels.items():
        if task not in scores:
            continue
        p64 = np.asarray(scores[task], dtype=np.float64)
        found[task] = {
            "auc": float(metrics.auc(labels, p64)),
            "logloss": float(metrics.logloss(labels, p64)),
        }
        shared = scores.get(one_state_of(task))
        if shared is not None:
            found[task][GAUC] = float(within_user(GAUC, labels, shared, test.users))
        if test.lists:
            found[task]["impression_auc"] = float(
                metrics.impression_auc(labels, p64, test.requests)
            )
    return found
