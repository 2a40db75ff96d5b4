"""Version 2 from new weights or from version 1's: quality against steps and seconds.

``python -m benchmarks.incremental --run runs/demo`` takes the two runs that ``make demo`` leaves: it
trains version 1 on its own window, then version 2's window

- ``scratch``: from new weights;
- ``warm_unknown``: from version 1's, ids that it did not know begin as its unknown id;
- ``warm_fresh``: from version 1's, such ids begin anew;
- ``new_days``: as ``warm_unknown``, but only on the days that version 1 did not see.

``moved`` is version 1 with its weights moved and nothing learnt. Every arm has the recipe, seed and
validation rows of the others; test scores are read after the training. Seconds are those of the
processor, validation left out, so that other work on the machine does not count. A finished training
is kept under ``--folder``. The last line is JSON.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import RunData
from benchmarks.accuracy.repeated import options, parsed, published
from benchmarks.accuracy.table import spread
from benchmarks.accuracy.training import measure
from hemix.components.train.warm import contents_of
from hemix.files import digest_of, read_json, write_json
from hemix.models.metrics.within_user import GAUC
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.state import State
from hemix.models.training.suited import as_written
from hemix.models.training.trainer import Trainer
from hemix.models.training.warm_start import NewRows, TransformContents, move
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.progress import say

ARMS = ("scratch", "warm_unknown", "warm_fresh", "new_days")
METRICS = ("auc", GAUC, "logloss")
EVALUATIONS = 6
"""Validations an epoch, for the curves."""


class Data(RunData):
    """A run's transformed data, and what its ids mean."""

    @cached_property
    def meaning(self) -> TransformContents:
        return contents_of(self.transform)


class Timed(Trainer):
    """Keeps the processor's seconds at each validation, those of validations left out."""

    def _validate(self, per_epoch: int) -> None:
        before = time.process_time()
        self.times = [*getattr(self, "times", []), before - self.began - self.outside]
        super()._validate(per_epoch)
        self.outside += time.process_time() - before

    def start(self) -> None:
        self.began, self.outside = time.process_time(), 0.0


def train(
    recipe: Recipe, data: Data, rows: Path, initial: dict[str, torch.Tensor] | None
) -> tuple[Timed, Any]:
    """A training on ``rows``, validated by the validation rows of ``data``."""
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer = Timed(
            recipe,
            data.spec,
            rows,
            data.transformed / "validation",
            Path(checkpoints),
            initial=initial,
        )
        trainer.start()
        return trainer, trainer.run()


def measured(ranker: Any, data: Data) -> dict[str, dict[str, float]]:
    """Test metrics a task."""
    return measure(data.test, data.scores_of(ranker))


def points(state: State, times: list[float]) -> list[dict[str, Any]]:
    """The validation curve with steps and seconds."""
    return [
        {"step": p.step, "seconds": round(s, 2), "score": p.score, "logloss": p.logloss}
        for p, s in zip(state.validation, times, strict=True)
    ]


def since(data: Data, start: str, folder: Path) -> Path:
    """The training rows of ``data`` from ``start`` on, as files of their own."""
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq
    from pyarrow import compute as pc

    files = sorted(map(str, (data.transformed / "train").rglob("*.parquet")))
    table = ds.dataset(files, format="parquet").to_table()
    times = table["event_time"]
    edge = np.datetime64(start.removesuffix("Z").split("+")[0], "ms").astype("int64")
    rows = table.filter(pc.greater_equal(times.cast("int64"), int(edge)))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / "part-0.parquet", row_group_size=8192)
    return folder


def one_seed(
    recipe: Recipe, first: Data, second: Data, new_days: Path, kept: Path
) -> dict[str, Any]:
    """All arms of one seed; each is kept as soon as it is done."""
    found: dict[str, Any] = dict(read_json(kept)) if kept.exists() else {}

    def keep(name: str, value: dict[str, Any]) -> None:
        found[name] = value
        write_json(kept, found)

    # What was kept before GAUC was of one state a user is measured again.
    found = {
        arm: value
        for arm, value in found.items()
        if all(GAUC in measured for measured in value.get("test", {}).values())
    }
    if all(arm in found for arm in ("moved", *ARMS)):
        return found
    weights = kept.with_suffix(".safetensors")
    from safetensors.torch import load_file, save_file

    old = recipe.build(first.spec)
    if not weights.exists():
        say(f"version 1, seed {recipe.training.seed}")
        trainer, trained = train(recipe, first, first.transformed / "train", None)
        save_file(
            {n: p.detach().contiguous() for n, p in trained.ranker.named_parameters()}, weights
        )
        keep("version_1", {"points": points(trained.state, trainer.times)})
    with torch.no_grad():
        saved = load_file(weights)
        for name, parameter in old.named_parameters():
            parameter.copy_(saved[name])
    torch.manual_seed(recipe.training.seed)
    new = recipe.build(second.spec)

    def moved(rows: NewRows) -> dict[str, torch.Tensor]:
        return move(old, new, first.meaning, second.meaning, new_rows=rows).weights

    if "moved" not in found:
        with torch.no_grad():
            for name, parameter in new.named_parameters():
                parameter.copy_(moved("unknown")[name])
        keep("moved", {"test": measured(new.eval(), second)})
        torch.manual_seed(recipe.training.seed)
        new = recipe.build(second.spec)
    for arm in ARMS:
        if arm in found:
            continue
        say(f"{arm}, seed {recipe.training.seed}")
        begin: NewRows = "fresh" if arm == "warm_fresh" else "unknown"
        initial = None if arm == "scratch" else moved(begin)
        rows = new_days if arm == "new_days" else second.transformed / "train"
        trainer, trained = train(recipe, second, rows, initial)
        curve = points(trained.state, trainer.times)
        best = max(range(len(curve)), key=lambda i: curve[i]["score"])
        keep(
            arm,
            {
                "test": measured(trained.ranker, second),
                "points": curve,
                "best": curve[best]["score"],
                "steps": curve[-1]["step"],
                "seconds": curve[-1]["seconds"],
            },
        )
    return found


def reached(points: list[dict[str, Any]], goal: float) -> dict[str, Any] | None:
    """The first point at or above ``goal``."""
    return next((point for point in points if point["score"] >= goal), None)


def summary(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Arms over seeds; ``to_equal``: seconds and steps until scratch's best validation score."""
    arms: dict[str, Any] = {}
    for arm in ("moved", *ARMS):
        runs = [seed[arm] for seed in seeds]
        row: dict[str, Any] = {
            "test": {
                task: {m: spread([run["test"][task][m] for run in runs]) for m in METRICS}
                for task in runs[0]["test"]
            }
        }
        if arm != "moved":
            row["validation"] = spread([run["best"] for run in runs])
            row["steps"] = float(np.mean([run["steps"] for run in runs]))
            row["seconds"] = round(float(np.mean([run["seconds"] for run in runs])), 1)
            hits = [reached(seed[arm]["points"], seed["scratch"]["best"]) for seed in seeds]
            row["to_equal"] = [
                {"step": hit["step"], "seconds": hit["seconds"]} if hit else None for hit in hits
            ]
            shared = min(len(run["points"]) for run in runs)
            row["curve"] = [
                {
                    "step": runs[0]["points"][i]["step"],
                    "auc": spread([run["points"][i]["score"] for run in runs]),
                    "logloss": {
                        task: spread([run["points"][i]["logloss"][task] for run in runs])
                        for task in runs[0]["points"][i]["logloss"]
                    },
                }
                for i in range(shared)
            ]
        for task, metrics in row["test"].items():
            metrics["auc_gain"] = spread(
                [s[arm]["test"][task]["auc"] - s["scratch"]["test"][task]["auc"] for s in seeds]
            )
        arms[arm] = row
    return arms


def show(figures: dict[str, Any]) -> None:
    """The figures as a table."""
    table = Table(title=f"{figures['dataset']}: version 2, test metrics over seeds")
    for heading in ("arm", "task", *METRICS, "AUC against scratch", "steps", "seconds"):
        table.add_column(heading)
    for arm, row in figures["arms"].items():
        for task, metrics in row["test"].items():
            cells = [f"{metrics[m]['mean']:.4f} ± {metrics[m]['deviation']:.4f}" for m in METRICS]
            gain = f"{metrics['auc_gain']['mean']:+.4f}"
            steps, seconds = row.get("steps", 0), row.get("seconds", 0)
            table.add_row(arm, task, *cells, gain, f"{steps:.0f}", f"{seconds:.0f}")
    Console().print(table)


def main() -> int:
    """Command line."""
    parser = options("incremental", __doc__, folder="incremental")
    parser.add_argument("--recipe", default="compact", help="what is trained (default compact)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the recipe")
    arguments = parsed(parser)
    runs = RunFolder.at(arguments.run)
    record = RunRecord.read(runs.record)
    if record.baseline is None:
        parser.error(f"--run: {record.version} has no version before it")
    before = RunRecord.read(runs.record_of(record.baseline))
    first, second = Data.recorded(before), Data.recorded(record)
    overrides = dict(text.split("=", 1) for text in arguments.set)
    overrides = {"training.evaluations": str(EVALUATIONS), "training.patience": "100", **overrides}
    folder = arguments.folder
    split = before.parameters["definition"]["split"]
    new_days = since(second, split["test"]["start"], folder / "new-days")
    seeds = []
    for seed in range(arguments.seeds):
        recipe = as_written(recipe_of(arguments.recipe, {**overrides, "training.seed": str(seed)}))
        digest = digest_of([recipe.model_dump(mode="json"), str(second.transformed)], 8)
        kept = folder / f"{arguments.recipe}-{seed}-{digest}.json"
        seeds.append(one_seed(recipe, first, second, new_days, kept))
    example = move(
        recipe.build(first.spec), recipe.build(second.spec), first.meaning, second.meaning
    )
    figures = {
        "dataset": record.parameters["definition"]["name"],
        "splits": [split, record.parameters["definition"]["split"]],
        "recipe": arguments.recipe,
        "seeds": arguments.seeds,
        "rows_kept": sum(example.rows.values()),
        "rows_new": sum(example.new.values()),
        "threads": arguments.threads,
        "arms": summary(seeds),
    }
    show(figures)
    return published("incremental", figures, arguments, name="incremental")


if __name__ == "__main__":
    sys.exit(main())
