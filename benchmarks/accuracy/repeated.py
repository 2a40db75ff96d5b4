"""What every comparison does: the same options, and one training of a model once a seed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy import table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.measuring.results import write_result
from hemix.progress import say

Train = Callable[..., tuple[dict[str, Any], Scores]]
"""Takes ``seed``; the record of the training and its test scores."""


def over_seeds(
    name: str, train: Train, *, seeds: int, data: RunData
) -> tuple[dict[str, Any], list[Scores]]:
    """A model's row of the table and its test scores, one training a seed; told in a line."""
    runs = [train(seed=seed) for seed in range(seeds)]
    scores = [p for _, p in runs]
    row = table.summary([record for record, _ in runs], scores, data.test)
    auc = row["test"][data.spec.tasks[0].name]["auc"]
    say(f"{name}: {auc['mean']:.5f} ± {auc['deviation']:.5f}")
    return row, scores


def options(
    benchmark: str, text: str | None, *, folder: str = "accuracy"
) -> argparse.ArgumentParser:
    """A command line with the options that all comparisons have; ``folder``: the default, in RUN."""
    parser = argparse.ArgumentParser(description=text, prog=f"python -m benchmarks.{benchmark}")
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="a finished hemix run")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2 (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of a training (default 1)")
    parser.add_argument("--folder", type=Path, help=f"finished trainings (default RUN/{folder})")
    parser.add_argument("--no-write", action="store_true", help="write no result file")
    parser.set_defaults(default_folder=folder)
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, ``folder`` filled in; torch has the threads that were asked for."""
    import torch

    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: a deviation needs at least 2")
    arguments.folder = arguments.folder or arguments.run / arguments.default_folder
    torch.set_num_threads(arguments.threads)
    return arguments


def published(
    benchmark: str,
    figures: Mapping[str, Any],
    arguments: argparse.Namespace,
    *,
    name: str | None = None,
    then: Callable[[Path], object] = lambda _: None,
) -> int:
    """End a comparison: its dated file, what ``then`` makes beside it, and the JSON line; 0.

    ``name``: the file's; by default ``benchmark`` and the data set. ``--no-write`` leaves the line alone.
    """
    if not arguments.no_write:
        command = ["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]
        path = write_result(name or f"{benchmark}-{figures['dataset']}", figures, command)
        then(path)
        say(f"written: {path.name}")
    print(json.dumps(figures))
    return 0
