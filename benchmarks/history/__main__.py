"""AUC against history length: what longer histories are worth with all rows, and at equal compute.

``python -m benchmarks.history --run RUN`` takes a finished run whose global sequence is long
(``hemix run --dataset ebnerd --set sequences.global_length=1500``), cuts its histories to each of
``--lengths`` (the last events stay) and trains once a seed, twice a length: with one pass over all
training requests, and with as many requests as the FLOPs of the shortest length's pass pay for. A
training's FLOPs are counted at its mean length, not at the longest. Test rows are the same
throughout. Finished trainings are kept: the last line is JSON.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from benchmarks.accuracy import table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.repeated import options, over_seeds, parsed, published
from benchmarks.accuracy.training import train
from benchmarks.history.picture import draw
from benchmarks.history.shorter import mean_length, shorten, shorter_spec
from hemix.files import read_json
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of

LENGTHS = (25, 100, 400, 1500)
SEQUENCE = "global"


def flops_at(recipe: str, overrides: dict[str, str], data: RunData) -> tuple[float, float]:
    """Mean number of events of a training row, and a row's forward FLOPs at that length."""
    mean = mean_length(data, SEQUENCE)
    spec = shorter_spec(data.spec, SEQUENCE, max(round(mean), 1))
    chosen = recipe_of(recipe, overrides)
    ranker = build(chosen.ranker, spec, chosen.model)
    return mean, float(sum(ranker.flops_per_sample().values()))


def main() -> int:
    """Command line."""
    parser = options("history", __doc__)
    parser.add_argument("--recipe", default="compact", help="what is trained (default compact)")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the recipe")
    arguments = parsed(parser)
    folder = arguments.folder
    overrides = dict(text.split("=", 1) for text in arguments.set)
    whole = RunData.of(arguments.run)
    rows: dict[str, Any] = {}
    scores: dict[str, list[Scores]] = {}
    budget = 0.0
    for length in sorted(arguments.lengths):
        full = shorten(whole, folder, sequence=SEQUENCE, length=length)
        events, flops = flops_at(arguments.recipe, overrides, full)
        budget = budget or flops
        for name, share in (("all rows", 1.0), ("equal compute", budget / flops)):
            data = shorten(whole, folder, sequence=SEQUENCE, length=length, train_share=share)
            key = f"{length}, {name}"
            trainer = partial(
                train, recipe=arguments.recipe, overrides=overrides, data=data, folder=folder
            )
            rows[key], scores[key] = over_seeds(key, trainer, seeds=arguments.seeds, data=data)
            rows[key] |= {
                "length": length,
                "budget": name,
                "mean_events": round(events, 1),
                "train_share": round(share, 4),
                "flops_at_mean_length": flops,
            }
    for name, gap in table.differences(scores, next(iter(scores)), whole.test).items():
        rows[name]["difference"] = gap
    figures: dict[str, Any] = {
        "dataset": read_json(arguments.run / "run.json")["metrics"]["dataset"],
        "recipe": arguments.recipe,
        "tasks": [task.name for task in whole.spec.tasks],
        "models": rows,
    }
    table.show(figures)
    picture = f"history-{figures['dataset']}.svg"
    return published(
        "history", figures, arguments, then=lambda path: draw(figures, path.with_name(picture))
    )


if __name__ == "__main__":
    sys.exit(main())
