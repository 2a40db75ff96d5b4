"""Several shapes of one recipe under one budget: what ablation and scaling share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy import table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.repeated import options, over_seeds, parsed, published
from benchmarks.accuracy.training import train
from hemix.files import read_json

Overrides = Mapping[str, str]


def measure_all(
    variants: Mapping[str, Overrides], *, recipe: str, seeds: int, data: RunData, folder: Path
) -> dict[str, Any]:
    """A row a variant: its test metrics over the seeds, and its difference to the first one."""
    rows: dict[str, Any] = {}
    scores: dict[str, list[Scores]] = {}
    for number, (name, overrides) in enumerate(variants.items()):
        trainer = partial(train, recipe=recipe, overrides=overrides, data=data, folder=folder)
        rows[name], scores[name] = over_seeds(
            f"{number + 1}/{len(variants)} {name}", trainer, seeds=seeds, data=data
        )
        rows[name]["overrides"] = dict(overrides)
    first = next(iter(variants))
    for name, gap in table.differences(scores, first, data.test).items():
        rows[name]["difference"] = gap
    return rows


def run(
    benchmark: str,
    text: str | None,
    variants: Mapping[str, Overrides],
    then: Callable[[dict[str, Any]], None] = lambda _: None,
) -> int:
    """The command line of such a benchmark; ``then`` gets the figures, to draw them."""
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
        ),
    }
    table.show(figures)
    return published(benchmark, figures, arguments, then=lambda _: then(figures))
