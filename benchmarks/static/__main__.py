"""The interaction line on Frappe: every model, refined and plain, beside its authors' numbers.

``python -m benchmarks.static --frappe FOLDER`` trains each base with the same settings
(``--trials``, one seed, judged by validation AUC), then once a seed with its best one. What is put
on top of a base (``--refine``, ``--separate``, ``--cl4ctr``, ``--widths``, ``--fdo``,
``--group-ftrl``) keeps the base's settings, as in the published tables, and is compared with it,
paired by seed. FDO's widths are those of the base's first seed, trained anew from scratch; of
Group-FTRL the rate is tried anew. Both have a picture of what is traded. Beside them: the untrained look-up, and
with ``--peer PYTHON --zoo FOLDER`` FuxiCTR's own models and trainer.

Deep networks are 128 and 64 wide here (published: 400, three times), so that a table of this size
can be made on two cores. The train file is a rebuilt one, see :mod:`benchmarks.static.frappe`.
A finished training is kept under ``--folder`` and not done again. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.accuracy import table
from benchmarks.accuracy.repeated import Train
from benchmarks.measuring.results import write_result
from benchmarks.static import frappe, peer, picture, rules, trades
from benchmarks.static.comparing import Ours, Row, compare
from benchmarks.static.entries import BASES, RATIOS, REFINEMENTS, STRENGTHS, entries
from hemix.models.metrics import pointwise

REBUILT = "rebuilt train file: positives exact, negatives drawn anew"


def _above(most: float = math.inf) -> Callable[[str], float]:
    """The type of an option: a number above 0, at most ``most``."""

    def number(text: str) -> float:
        value = float(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {most:g}")
        return value

    return number


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _or(given: list[float] | None, known: tuple[float, ...]) -> tuple[float, ...]:
    """What follows an option: nothing without it, ``known`` when nothing follows."""
    return () if given is None else tuple(given) or known


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
    parser.add_argument(
        "--widths", nargs="*", type=int, default=[], metavar="E",
        help="also one smaller width for all tables",
    )  # fmt: skip
    parser.add_argument(
        "--fdo", nargs="*", type=_above(1), metavar="RATIO",
        help=f"also a width a table, from the trained base (without ratios: {_list(RATIOS)})",
    )  # fmt: skip
    parser.add_argument(
        "--group-ftrl", nargs="*", type=_above(), metavar="STRENGTH",
        help="also Group-FTRL, its draw to 0 in parts of the release's "
        f"(without strengths: {_list(STRENGTHS)})",
    )  # fmt: skip
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

    def theirs(model: str) -> Train:
        return lambda seed, setting: peer.train(
            python=arguments.peer, zoo=arguments.zoo, model=model, seed=seed, setting=setting,
            data=data, folder=kept, threads=arguments.threads,
        )  # fmt: skip

    asked = entries(
        tuple(arguments.bases), tuple(arguments.refine),
        separate=arguments.separate, cl4ctr=arguments.cl4ctr, widths=tuple(arguments.widths),
        fdo=_or(arguments.fdo, RATIOS), group_ftrl=_or(arguments.group_ftrl, STRENGTHS),
    )  # fmt: skip
    rows = Ours(asked=asked, data=data, folder=kept).rows()
    if arguments.peer:
        rows |= {
            (n := f"fuxictr {model}"): Row(base=n, like=n, train=theirs(model))
            for model in peer.MODELS
        }
    lookup = pointwise.auc(data.test.labels[frappe.TASK], rules.lookup(data, "test"))
    figures: dict[str, Any] = {
        "dataset": "frappe",
        "data": REBUILT,
        "tasks": [frappe.TASK],
        "lookup": round(float(lookup), 5),
        "models": compare(rows, data, trials=arguments.trials, seeds=arguments.seeds),
    }
    table.show(figures, reference="its base")
    if not arguments.no_write:
        command = ["python", "-m", "benchmarks.static", *sys.argv[1:]]
        path = write_result(arguments.name, figures, command)
        picture.draw(figures, path.with_name(f"{arguments.name}.svg"))
        for kind, draw in (("fdo", trades.fdo), ("group-ftrl", trades.group_ftrl)):
            draw(figures, path.with_name(f"{arguments.name}-{kind}.svg"))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
