"""Several shapes of one recipe under one budget: what ablation and scaling share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import table
from benchmarks.accuracy.data import HeldOut, RunData, Scores
from benchmarks.accuracy.repeated import options, over_seeds, parsed, published
from benchmarks.accuracy.training import train
from hemix.files import read_json
from hemix.models.metrics.pointwise import auc

Overrides = Mapping[str, str]


def measure_all(
    variants: Mapping[str, Overrides],
    *,
    recipe: str,
    seeds: int,
    data: RunData,
    folder: Path,
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
) -> dict[str, Any]:
    """A row a variant: its test metrics over the seeds, and its difference to the first one.

    Args:
        variants: name -> what is set.
        recipe: what is varied.
        seeds: trainings of a variant.
        data: rows and contract.
        folder: of finished trainings.
        slices: name -> rows of the test split whose AUC is measured apart.
    """
    rows: dict[str, Any] = {}
    scores: dict[str, list[Scores]] = {}
    for number, (name, overrides) in enumerate(variants.items()):
        trainer = partial(train, recipe=recipe, overrides=overrides, data=data, folder=folder)
        rows[name], scores[name] = over_seeds(
            f"{number + 1}/{len(variants)} {name}", trainer, seeds=seeds, data=data
        )
        rows[name]["overrides"] = dict(overrides)
        if slices:
            rows[name]["slices"] = sliced(scores[name], slices, data.test)
    first = next(iter(variants))
    for name, gap in table.differences(scores, first, data.test).items():
        rows[name]["difference"] = gap
    return rows


def sliced(
    scores: Sequence[Scores], slices: Mapping[str, NDArray[np.bool_]], test: HeldOut
) -> dict[str, Any]:
    """Rows, and AUC a task (mean and deviation over the seeds) where both labels occur."""
    found: dict[str, Any] = {}
    for name, rows in slices.items():
        found[name] = {"rows": int(rows.sum()), "auc": {}}
        for task, labels in test.labels.items():
            y = labels[rows]
            if 0 < y.sum() < len(y):
                values = [float(auc(y, p[task][rows].astype(float))) for p in scores if task in p]
                found[name]["auc"][task] = table.spread(values)
    return found


def run(
    benchmark: str,
    text: str | None,
    variants: Mapping[str, Overrides],
    then: Callable[[dict[str, Any]], None] = lambda _: None,
    slices: Callable[[RunData], Mapping[str, NDArray[np.bool_]]] = lambda _: {},
) -> int:
    """The command line of such a benchmark.

    Args:
        benchmark: its name.
        text: what it does.
        variants: name -> what is set; the first is what the others are compared with.
        then: gets the figures, to draw them.
        slices: of the test rows, measured apart.
    """
    parser = options(benchmark, text)
    parser.add_argument("--recipe", default="compact", help="what is varied (default compact)")
    parser.add_argument("--variants", nargs="+", choices=list(variants), metavar="NAME")
    arguments = parsed(parser)
    record, data = read_json(arguments.run / "run.json"), RunData.of(arguments.run)
    first = next(iter(variants))
    chosen = {first, *(arguments.variants or variants)}
    figures: dict[str, Any] = {
        "dataset": record["metrics"]["dataset"],
        "recipe": arguments.recipe,
        "tasks": [task.name for task in data.spec.tasks],
        "models": measure_all(
            {name: overrides for name, overrides in variants.items() if name in chosen},
            recipe=arguments.recipe,
            seeds=arguments.seeds,
            data=data,
            folder=arguments.folder,
            slices=slices(data),
        ),
    }
    table.show(figures)
    return published(benchmark, figures, arguments, then=lambda _: then(figures))
