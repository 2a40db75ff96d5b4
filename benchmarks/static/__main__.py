"""The interaction line on Frappe: every model, refined and plain, beside its authors' numbers.

``python -m benchmarks.static --frappe FOLDER`` trains each base with the same settings
(``--trials``, one seed, judged by validation AUC), then once a seed with its best one. What is put
on top of a base (``--refine``, ``--separate``, ``--cl4ctr``) keeps the base's settings, as in the
published tables, and is compared with it, paired by seed. Beside them: the untrained look-up, and
with ``--peer PYTHON --zoo FOLDER`` FuxiCTR's own models and trainer.

Deep networks are 128 and 64 wide here (published: 400, three times), so that a table of this size
can be made on two cores. The train file is a rebuilt one, see :mod:`benchmarks.static.frappe`.
A finished training is kept under ``--folder`` and not done again. The last line is JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import search, table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.repeated import Train, over_seeds
from benchmarks.accuracy.training import train
from benchmarks.measuring.results import write_result
from benchmarks.static import frappe, peer, picture, rules, settings
from benchmarks.static.entries import BASES, REFINEMENTS, entries
from hemix.models.metrics import pointwise

REBUILT = "rebuilt train file: positives exact, negatives drawn anew"


def compare(
    trainers: dict[str, tuple[str, Train]], data: RunData, *, trials: int, seeds: int
) -> dict[str, Any]:
    """Rows by name; a trainer comes with the name of its base, whose settings it keeps."""
    rows: dict[str, Any] = {}
    scores: dict[str, list[Scores]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for number, (name, (base, trainer)) in enumerate(trainers.items()):
        if name == base:
            first = functools.partial(trainer, 0)
            setting, searched = search.best(
                settings.tried(trials),
                lambda s, first=first: first(s)[0],  # type: ignore[misc]
            )
            chosen[name] = {"setting": setting, "trials": [round(s, 5) for s in searched]}
        said = f"{number + 1}/{len(trainers)} {name}"
        own = functools.partial(trainer, setting=chosen[base]["setting"])
        rows[name], scores[name] = over_seeds(said, own, seeds=seeds, data=data)
        rows[name] |= {"base": base, **chosen[base]}
    for base in {base for base, _ in trainers.values()}:
        family = {name: scores[name] for name, (of, _) in trainers.items() if of == base}
        if len(family) > 1:
            for name, gap in table.differences(family, base, data.test).items():
                rows[name]["difference"] = gap
                rows[name]["paired"] = _paired(data, family[name], family[base])
    return rows


def _paired(data: RunData, ours: list[Scores], base: list[Scores]) -> dict[str, float]:
    """Test AUC minus the base's, seed by seed: mean and deviation."""
    labels = data.test.labels[frappe.TASK]

    def auc(scores: Scores) -> float:
        return float(pointwise.auc(labels, scores[frappe.TASK].astype(np.float64)))

    return table.spread([auc(a) - auc(b) for a, b in zip(ours, base, strict=True)])


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.static")
    parser.add_argument("--frappe", type=Path, required=True, help="folder of the three files")
    parser.add_argument("--folder", type=Path, default=Path("runs/static"), help="what is kept")
    parser.add_argument("--bases", nargs="*", default=list(BASES), metavar="RECIPE")
    parser.add_argument(
        "--refine", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(REFINEMENTS)}"
    )
    parser.add_argument("--separate", action="store_true", help="also a refinement a branch")
    parser.add_argument("--cl4ctr", action="store_true", help="also CL4CTR's auxiliary loss")
    parser.add_argument("--trials", type=int, default=4, help="settings each base tries (4)")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2 (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of a training (1)")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="a python that has fuxictr")
    parser.add_argument("--zoo", type=Path, metavar="FOLDER", help="model_zoo of FuxiCTR")
    parser.add_argument("--name", default="static-frappe", help="of the result file and picture")
    parser.add_argument("--no-write", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: a deviation needs at least 2")
    if bool(arguments.peer) != bool(arguments.zoo):
        parser.error("--peer and --zoo go together")
    import torch

    torch.set_num_threads(arguments.threads)
    data = frappe.prepared(arguments.frappe, arguments.folder)
    kept = arguments.folder / "trained"

    def ours(recipe: str, overrides: dict[str, str]) -> Train:
        return lambda seed, setting: train(
            recipe=recipe, seed=seed, overrides={**settings.FIXED, **setting, **overrides},
            data=data, folder=kept,
        )  # fmt: skip

    def theirs(model: str) -> Train:
        return lambda seed, setting: peer.train(
            python=arguments.peer, zoo=arguments.zoo, model=model, seed=seed, setting=setting,
            data=data, folder=kept, threads=arguments.threads,
        )  # fmt: skip

    asked = entries(
        tuple(arguments.bases), tuple(arguments.refine),
        separate=arguments.separate, cl4ctr=arguments.cl4ctr,
    )  # fmt: skip
    trainers = {name: (e.base, ours(e.recipe, e.overrides)) for name, e in asked.items()}
    if arguments.peer:
        trainers |= {(n := f"fuxictr {model}"): (n, theirs(model)) for model in peer.MODELS}
    lookup = pointwise.auc(data.test.labels[frappe.TASK], rules.lookup(data, "test"))
    figures: dict[str, Any] = {
        "dataset": "frappe",
        "data": REBUILT,
        "tasks": [frappe.TASK],
        "lookup": round(float(lookup), 5),
        "models": compare(trainers, data, trials=arguments.trials, seeds=arguments.seeds),
    }
    table.show(figures)
    if not arguments.no_write:
        command = ["python", "-m", "benchmarks.static", *sys.argv[1:]]
        path = write_result(arguments.name, figures, command)
        picture.draw(figures, path.with_name(f"{arguments.name}.svg"))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
