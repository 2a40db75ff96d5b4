"""Objectives for several rankers, ordered within a user on one state, beside rules and boosting.

``python -m benchmarks.objectives --run runs/demo`` takes the transformed data of a finished
``hemix run``. Each objective tries its weights with one seed, judged by GAUC on one state of each
user of the validation rows, then trains with the best once a seed; test scores are read only after
that. ``--rates RUN`` is a second run, of a definition with ``rates:``. Differences are a bootstrap by
user, paired by seed. A finished training is kept under ``--folder`` and not done again.

The last line is JSON.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.repeated import options, published
from benchmarks.objectives.candidates import OBJECTIVES, PLAIN, settings
from benchmarks.objectives.held_out import Splits
from benchmarks.objectives.measures import differences, summary
from benchmarks.objectives.random_split import random_split
from benchmarks.objectives.rules import boosting, rule
from benchmarks.objectives.training import train
from hemix.errors import DataError
from hemix.files import read_json
from hemix.progress import say

RANKERS = ("compact", "dcnv2", "din")
RULE, BOOSTING = "rule", "boosting"
LOGS = {"kuairand": Path("runs/demo"), "ebnerd": Path("runs/ebnerd")}


def compare(
    splits: Splits,
    *,
    rankers: list[str],
    objectives: list[str],
    seeds: int,
    levels: list[int],
    codes: list[int],
    fixed: dict[str, str],
    refit: bool = False,
) -> dict[str, Any]:
    """Rows of the table by ``ranker objective``, and of the rule and of boosting.

    Args:
        splits: the rows.
        rankers: names of recipes.
        objectives: of :data:`OBJECTIVES`.
        seeds: trainings of each chosen setting.
        levels: that GroupCE tries.
        codes: that GroupCE tries.
        fixed: fields of every recipe.
        refit: whether what validation chose is also trained on training and validation rows.
    """
    by = "request" if splits.test.lists else "user"
    scores, fields = rule(splits)
    runs: dict[str, list[Scores]] = {RULE: [scores]}
    rows: dict[str, Any] = {RULE: {"fields": fields, "test": summary(splits.test, [scores])}}
    runs[BOOSTING] = [boosting(splits)]
    rows[BOOSTING] = {"test": summary(splits.test, runs[BOOSTING])}
    for ranker in rankers:
        for objective in objectives:
            tried = settings(objective, by=by, levels=levels, codes=codes)
            found = [train(splits, ranker, 0, one | fixed)[0]["validation"] for one in tried]
            means = [sum(one.values()) / len(one) for one in found]
            best = tried[means.index(max(means))]
            again = {f"{ranker} {objective}": best}
            if refit:
                again[f"{ranker} {objective}, refit"] = best | {"training.refit": "true"}
            for name, setting in again.items():
                trained = [train(splits, ranker, seed, setting | fixed) for seed in range(seeds)]
                runs[name] = [p for _, p in trained]
                rows[name] = {
                    "setting": setting,
                    "tried": [
                        [one, round(mean, 5)] for one, mean in zip(tried, means, strict=True)
                    ],
                    "seeds": seeds,
                    "test": summary(splits.test, runs[name]),
                    "terms": trained[0][0]["terms"],
                    "seconds": trained[0][0]["seconds"],
                }
                told = next(iter(rows[name]["test"].values()))
                say(
                    f"{name}: GAUC on one state {told['gauc']['mean']:.5f}, AUC {told['auc']['mean']:.5f}"
                )
    for name, gap in differences(runs, RULE, splits.test).items():
        rows[name]["to_rule"] = gap
    for ranker in rankers:
        own = {name: held for name, held in runs.items() if name.startswith(f"{ranker} ")}
        if (plain := f"{ranker} {PLAIN}") in own:
            for name, gap in differences(own, plain, splits.test).items():
                rows[name]["to_bce"] = gap
    return rows


def show(rows: dict[str, Any], task: str, title: str) -> None:
    """The rows on the terminal."""
    table = Table(title=f"{title}, {task}: test split, GAUC and NDCG@5 on one state of each user")
    names = ["gauc", "ndcg_at_5", "auc", "logloss", "pcoc"]
    for heading in ("", *names, "minus log loss", "minus the rule"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in rows.items():
        found = row["test"][task]
        cells = [f"{found[m]['mean']:.4f}" if m in found else "" for m in names]
        gaps = [row.get(key, {}).get(task) for key in ("to_bce", "to_rule")]
        told = [f"{g['gauc']:+.4f} [{g['low']:+.4f}, {g['high']:+.4f}]" if g else "" for g in gaps]
        table.add_row(name, *cells, *told)
    Console(width=150).print(table)


def of_run(run: Path, arguments: Namespace, fixed: dict[str, str]) -> dict[str, Any]:
    """The rows of one run; raises DataError when it is of another log."""
    record = read_json(run / "run.json")
    dataset = str(record["metrics"]["dataset"])
    if dataset not in (arguments.log, f"{arguments.log}_rates"):
        raise DataError(
            f"{run}: a run of {dataset}, not of {arguments.log}.", hint=f"Give --log {dataset}."
        )
    folder = arguments.folder or run / "objectives"
    data = RunData.of(run)
    if arguments.split == "random":
        data = random_split(data, folder)
    return compare(
        Splits(data, folder),
        rankers=arguments.rankers,
        objectives=arguments.objectives,
        seeds=arguments.seeds,
        levels=arguments.levels,
        codes=arguments.codes,
        fixed=fixed,
        refit=arguments.refit,
    )


def main() -> int:
    """Command line."""
    import torch

    parser = options("objectives", __doc__)
    parser.set_defaults(run=None)
    parser.add_argument("--log", choices=[*LOGS], default="kuairand")
    parser.add_argument("--split", choices=["temporal", "random"], default="temporal")
    parser.add_argument(
        "--rates", type=Path, metavar="RUN", help="a run whose definition has rates"
    )
    parser.add_argument("--rankers", nargs="+", default=[*RANKERS], metavar="RECIPE")
    parser.add_argument("--objectives", nargs="+", default=[*OBJECTIVES], choices=OBJECTIVES)
    parser.add_argument("--levels", nargs="+", type=int, default=[2], help="that GroupCE tries (2)")
    parser.add_argument("--codes", nargs="+", type=int, default=[8], help="that GroupCE tries (8)")
    parser.add_argument(
        "--refit", action="store_true", help="also train the choice on training and validation rows"
    )
    parser.add_argument("--name", help="of the result file (default objectives-LOG-SPLIT)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all recipes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    fixed = dict(text.split("=", 1) for text in arguments.set)
    run = arguments.run or LOGS[arguments.log]
    rows = of_run(run, arguments, fixed)
    if arguments.rates is not None:
        rates = of_run(arguments.rates, arguments, fixed)
        rows |= {f"{name}, with rates": row for name, row in rates.items()}
    tasks = [*next(iter(rows.values()))["test"]]
    figures = {"dataset": arguments.log, "split": arguments.split, "tasks": tasks, "rows": rows}
    for task in tasks:
        show(rows, task, f"{arguments.log}, {arguments.split} split")
    name = arguments.name or f"objectives-{arguments.log}-{arguments.split}"
    return published("objectives", figures, arguments, name=name)


if __name__ == "__main__":
    sys.exit(main())
