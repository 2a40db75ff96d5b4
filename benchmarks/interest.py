"""What DIN's interest of the candidate is worth to the rankers that may read histories with it.

``python -m benchmarks.interest --run RUN`` trains each once a seed with the interest and without
it: Wukong, Hiformer, RankMixer and TokenMixer-Large have the mean event in its place, HeMix has its
mixed queries either way. Sizes are those of ``benchmarks.accuracy``; nothing is tuned. Finished
trainings are kept. The last line is JSON.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.accuracy import table
from benchmarks.accuracy.data import RunData
from benchmarks.accuracy.repeated import options, parsed, published
from benchmarks.accuracy.shapes import shape_of
from benchmarks.accuracy.variants import measure_all
from hemix.files import read_json

# Without it comes first: differences are to that.
SWITCH = {
    "compact": ({}, {"model.candidate_interest": "true"}),
    **{
        recipe: ({"model.interest": "mean"}, {})
        for recipe in ("wukong", "hiformer", "rankmixer", "tokenmixer_large")
    },
}


def main() -> int:
    """Command line."""
    parser = options("interest", __doc__)
    parser.add_argument("--recipes", nargs="+", choices=list(SWITCH), default=list(SWITCH))
    arguments = parsed(parser)
    record, data = read_json(arguments.run / "run.json"), RunData.of(arguments.run)
    dataset = str(record["metrics"]["dataset"])
    rows: dict[str, Any] = {}
    for recipe in arguments.recipes:
        shape = shape_of(dataset, recipe)
        names = (f"{recipe} without it", f"{recipe} with it")
        switch = {name: shape | part for name, part in zip(names, SWITCH[recipe], strict=True)}
        rows |= measure_all(
            switch, recipe=recipe, seeds=arguments.seeds, data=data, folder=arguments.folder
        )
    figures = {
        "dataset": dataset, "tasks": [task.name for task in data.spec.tasks], "models": rows
    }  # fmt: skip
    table.show(figures)
    return published("interest", figures, arguments)


if __name__ == "__main__":
    sys.exit(main())
