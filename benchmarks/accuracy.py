"""Rankers side by side on one log: same rows, same features, same budget, several seeds.

``python -m benchmarks.accuracy --run runs/demo`` trains each recipe once a seed on the transformed
data of a finished ``hemix run`` and scores its test split. Training and stopping see the training
and validation splits only. A finished training is kept under ``--folder`` and not done again, so an
interrupted benchmark goes on. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hemix.files import digest_of, read_json, write_json
from hemix.progress import say
from hemix.spec import FeatureSpec

RECIPES = ("compact", "din", "dcnv2")
METRICS = ("auc", "gauc", "logloss")


def artifacts_of(run: Path) -> tuple[Path, Path]:
    """The ``transformed`` and ``transform_graph`` folders of a finished run."""
    record = read_json(run / "run.json")
    for step in record["steps"]:
        if step["name"] == "transform":
            return Path(step["artifacts"]["transformed"]), Path(
                step["artifacts"]["transform_graph"]
            )
    raise KeyError("transform")


def one(
    *, recipe: str, seed: int, overrides: dict[str, str], data: tuple[Path, Path], folder: Path
) -> dict[str, Any]:
    """Train ``recipe`` with ``seed``; its test metrics a task, parameters, FLOPs and seconds."""
    import pyarrow.parquet as pq

    from models.inference import predict_table
    from models.metrics import auc, gauc, logloss
    from models.recipes import recipe_of
    from models.train import Trainer

    transformed, transform = data
    chosen = recipe_of(recipe, {**overrides, "training.seed": str(seed)})
    kept = folder / f"{recipe}-{seed}-{digest_of([chosen.model_dump(), str(transformed)], 8)}.json"
    if kept.exists():
        return dict(read_json(kept))
    say(f"{recipe}, seed {seed}")
    with tempfile.TemporaryDirectory() as checkpoints:
        trained = Trainer(
            chosen,
            FeatureSpec.read(transform / "spec.json"),
            transformed / "train",
            transformed / "validation",
            Path(checkpoints),
        ).run()
    test = pq.read_table(transformed / "test")
    scores = predict_table(trained.ranker, test)
    users = test["user_id"].to_numpy()
    result: dict[str, Any] = {
        "validation": {k: v for k, v in trained.metrics.items() if k.endswith("_auc")},
        "test": {},
        "parameters": trained.ranker.parameter_counts(),
        "flops_per_sample": sum(trained.ranker.flops_per_sample().values()),
        "seconds": round(trained.seconds, 1),
    }
    for task in trained.ranker.spec.tasks:
        labels, p = test[task.column].to_numpy(), np.asarray(scores[task.name], dtype=np.float64)
        values = (auc(labels, p), gauc(labels, p, users), logloss(labels, p))
        result["test"][task.name] = dict(zip(METRICS, map(float, values), strict=True))
    write_json(kept, result)
    return result


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and deviation (n - 1) over the seeds of one recipe."""
    tasks = runs[0]["test"]
    return {
        "seeds": len(runs),
        "test": {
            task: {
                metric: {
                    "mean": round(float(np.mean([r["test"][task][metric] for r in runs])), 5),
                    "deviation": round(
                        float(np.std([r["test"][task][metric] for r in runs], ddof=1)), 5
                    ),
                }
                for metric in METRICS
            }
            for task in tasks
        },
        "validation": {
            name: round(float(np.mean([r["validation"][name] for r in runs])), 5)
            for name in runs[0]["validation"]
        },
        "parameters": runs[0]["parameters"],
        "flops_per_sample": runs[0]["flops_per_sample"],
        "seconds": round(float(np.mean([r["seconds"] for r in runs])), 1),
    }


def show(figures: dict[str, Any]) -> None:
    """The figures as a table."""
    table = Table(title=f"{figures['dataset']}: test metrics, mean and deviation over seeds")
    for heading in ("recipe", "task", *METRICS, "dense parameters", "seconds"):
        table.add_column(heading)
    for recipe, row in figures["recipes"].items():
        for task, metrics in row["test"].items():
            cells = [f"{metrics[m]['mean']:.4f} ± {metrics[m]['deviation']:.4f}" for m in METRICS]
            table.add_row(
                recipe, task, *cells, f"{row['parameters']['dense']:,}", f"{row['seconds']:.0f}"
            )
    Console().print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.accuracy")
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="a finished hemix run")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2 (default 3)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all recipes")
    parser.add_argument("--folder", type=Path, help="finished trainings (default RUN/accuracy)")
    parser.add_argument("--no-write", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: a deviation needs at least 2")
    overrides = dict(text.split("=", 1) for text in arguments.set)
    folder = arguments.folder or arguments.run / "accuracy"
    record = read_json(arguments.run / "run.json")
    data = artifacts_of(arguments.run)
    figures: dict[str, Any] = {
        "dataset": record["metrics"]["dataset"],
        "split": record["parameters"]["definition"]["split"],
        "recipes": {
            recipe: summary(
                [
                    one(recipe=recipe, seed=seed, overrides=overrides, data=data, folder=folder)
                    for seed in range(arguments.seeds)
                ]
            )
            for recipe in arguments.recipes
        },
        # The run's own rival on the same features, with its 95 % interval by users.
        "boosting": {
            task: part["metrics"]["boosting"]["auc"]
            for task, part in record["metrics"]["tasks"].items()
        },
    }
    show(figures)
    if not arguments.no_write:
        from benchmarks.results import write_result

        say(
            f"written: {write_result('accuracy', figures, ['python', '-m', 'benchmarks.accuracy', *sys.argv[1:]]).name}"
        )
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
