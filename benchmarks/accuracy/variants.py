"""Several shapes of one recipe under one budget: what ablation and scaling share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy import table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.training import train
from hemix.files import read_json
from hemix.progress import say

Overrides = Mapping[str, str]


def measure_all(
    variants: Mapping[str, Overrides], *, recipe: str, seeds: int, data: RunData, folder: Path
) -> dict[str, Any]:
    """A row a variant: its test metrics over the seeds, and its difference to the first one."""
    rows: dict[str, Any] = {}
    scores: dict[str, list[Scores]] = {}
    for number, (name, overrides) in enumerate(variants.items()):
        runs = [
            train(recipe=recipe, seed=seed, overrides=overrides, data=data, folder=folder)
            for seed in range(seeds)
        ]
        scores[name] = [p for _, p in runs]
        rows[name] = table.summary([r for r, _ in runs], scores[name], data.test)
        rows[name]["overrides"] = dict(overrides)
        auc = rows[name]["test"][data.spec.tasks[0].name]["auc"]
        say(f"{number + 1}/{len(variants)} {name}: {auc['mean']:.5f} ± {auc['deviation']:.5f}")
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
    parser = argparse.ArgumentParser(description=text, prog=f"python -m benchmarks.{benchmark}")
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="a finished hemix run")
    parser.add_argument("--recipe", default="compact", help="what is varied (default compact)")
    parser.add_argument("--variants", nargs="+", choices=list(variants), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2 (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of a training (default 1)")
    parser.add_argument("--folder", type=Path, help="finished trainings (default RUN/accuracy)")
    parser.add_argument("--no-write", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: a deviation needs at least 2")
    import torch

    torch.set_num_threads(arguments.threads)
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
            folder=arguments.folder or arguments.run / "accuracy",
        ),
    }
    table.show(figures)
    if not arguments.no_write:
        from benchmarks.results import write_result

        command = ["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]
        path = write_result(f"{benchmark}-{figures['dataset']}", figures, command)
        say(f"written: {path.name}")
        then(figures)
    print(json.dumps(figures))
    return 0
