"""Rankers side by side on one log: same rows, features, embeddings, trials and seeds.

``python -m benchmarks.accuracy --run runs/demo`` takes the transformed data of a finished
``hemix run``. Each model first tries the same settings (``--trials``, one seed, judged by the mean
validation AUC), then trains with its best one once a seed; test scores are read only after that.
The best on validation get more seeds (``--best``, ``--best-seeds``).
Differences to HeMix come from one bootstrap by user, paired by seed. With ``--peer PYTHON`` (an
environment of benchmarks/rivals/requirements-fuxictr.txt) FuxiCTR's own models and trainer stand
beside ours.

A finished training is kept under ``--folder`` and not done again: an interrupted benchmark goes on,
and more seeds, trials or models only add. The last line is JSON.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy import peer, picture, search, table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.repeated import Train, options, over_seeds, parsed, published
from benchmarks.accuracy.shapes import shape_of
from benchmarks.accuracy.training import train
from hemix.files import read_json, write_json
from hemix.models.rankers.registry import RANKERS

REFERENCE = "compact"


def compare(
    trainers: dict[str, Train],
    data: RunData,
    *,
    trials: int,
    seeds: int,
    best: int = 0,
    best_seeds: int = 0,
) -> tuple[dict[str, Any], dict[str, list[Scores]]]:
    """Rows of the table by model, searched, trained once a seed, measured; and their scores.

    The ``best`` models on validation, and the reference, are trained with ``best_seeds`` seeds.
    """
    tried = search.settings(trials)
    rows: dict[str, Any] = {}
    scores: dict[str, list[Scores]] = {}
    chosen: dict[str, dict[str, Any]] = {}

    def repeat(model: str, said: str, seeds: int) -> None:
        trainer = functools.partial(trainers[model], setting=chosen[model]["setting"])
        row, scores[model] = over_seeds(f"{said} {model}", trainer, seeds=seeds, data=data)
        rows[model] = row | chosen[model]

    for number, (model, trainer) in enumerate(trainers.items()):
        first = functools.partial(trainer, 0)
        setting, searched = search.best(tried, lambda s, first=first: first(s)[0])  # type: ignore[misc]
        chosen[model] = {"setting": setting, "trials": [round(score, 5) for score in searched]}
        repeat(model, f"{number + 1}/{len(trainers)}", seeds)
    if best_seeds > seeds:
        for number, model in enumerate(leaders(rows, best)):
            repeat(model, f"{best_seeds} seeds, {number + 1}:", best_seeds)
    if REFERENCE in scores:
        gaps = table.differences(scores, REFERENCE, data.test)
        for model, gap in gaps.items():
            rows[model]["difference"] = gap
    return rows, scores


def leaders(rows: dict[str, Any], best: int) -> list[str]:
    """The ``best`` models by mean validation AUC over tasks, and the reference if it is a row."""

    def score(model: str) -> float:
        validation = rows[model]["validation"].values()
        return sum(task["mean"] for task in validation) / len(validation)

    first = sorted(rows, key=score, reverse=True)[:best]
    return first + [REFERENCE] * (REFERENCE in rows and REFERENCE not in first)


def main() -> int:
    """Command line."""
    rivals = [REFERENCE, *(ranker for ranker in RANKERS if ranker != "hemix")]
    parser = options("accuracy", __doc__)
    parser.add_argument(
        "--recipes", nargs="+", metavar="RECIPE", help="default: compact and every other ranker"
    )
    parser.add_argument("--trials", type=int, default=4, help="settings each model tries (4)")
    parser.add_argument("--best", type=int, default=5, help="how many get more seeds (5)")
    parser.add_argument("--best-seeds", type=int, default=0, metavar="SEEDS", help="default: none")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all recipes")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="a python that has fuxictr")
    parser.add_argument(
        "--name", help="of another result file and picture (default accuracy-DATASET)"
    )
    arguments = parsed(parser)
    folder = arguments.folder
    fixed = dict(text.split("=", 1) for text in arguments.set)
    record, data = read_json(arguments.run / "run.json"), RunData.of(arguments.run)
    dataset = str(record["metrics"]["dataset"])
    recipes = arguments.recipes or rivals

    def ours(recipe: str) -> Train:
        return lambda seed, setting: train(
            recipe=recipe,
            seed=seed,
            overrides=shape_of(dataset, recipe) | setting | fixed,
            data=data,
            folder=folder,
        )

    def theirs(model: str) -> Train:
        return lambda seed, setting: peer.train(
            python=arguments.peer, model=model, seed=seed, overrides=setting, data=data,
            folder=folder, threads=arguments.threads,
        )  # fmt: skip

    trainers = {recipe: ours(recipe) for recipe in recipes}
    if arguments.peer:
        trainers |= {f"fuxictr {model}": theirs(model) for model in peer.MODELS}
    rows, scores = compare(
        trainers,
        data,
        trials=arguments.trials,
        seeds=arguments.seeds,
        best=arguments.best,
        best_seeds=arguments.best_seeds,
    )
    figures: dict[str, Any] = {
        "dataset": dataset,
        "split": record["parameters"]["definition"]["split"],
        "tasks": [task.name for task in data.spec.tasks],
        "models": rows,
        # The run's own rival on the same features, with its 95 % interval by users.
        "boosting": {
            task: part["metrics"]["boosting"]["auc"]
            for task, part in record["metrics"]["tasks"].items()
        },
    }
    table.show(figures)

    name = arguments.name or f"accuracy-{dataset}"

    def beside(path: Path) -> None:
        latest = path.with_name("accuracy.json")
        if arguments.name is None:
            kept = read_json(latest) if latest.exists() else {}
            write_json(latest, kept | {dataset: read_json(path)})
        picture.draw(scores, REFERENCE, data.test, dataset, path.with_name(f"{name}.svg"))

    return published("accuracy", figures, arguments, name=name, then=beside)


if __name__ == "__main__":
    sys.exit(main())
