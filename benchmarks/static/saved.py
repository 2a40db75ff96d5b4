"""What narrow tables and rows of zeros save in a version: on disk, in memory, in look-ups and scores.

``python -m benchmarks.static.saved`` writes four versions of one ranker with new weights, its tables
at their full width, narrow (as FDO chooses), with rows of zeros (as Group-FTRL leaves) and both. A
process of its own loads each, verified as a server does. The shares are the papers' on Criteo: rows
of 5.92 numbers in 16 at 95 % of the variance (GDCN, arXiv 2311.04635), 65 % rows of zeros (xDeepInt,
arXiv 2301.01089). Times are CPU time of one thread. The last line is JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.memory import peak_mb, resident_mb
from benchmarks.measuring.results import write_result
from hemix.models.data.batch import Batch
from hemix.models.rankers.base import Ranker
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.version import WEIGHTS, load, write
from hemix.spec import CategoricalFeature, FeatureSpec, Side, TaskSpec, Vocabulary

SHARES = (1.0, 0.2, 0.02, 0.002)
"""Rows of the four large tables, in parts of the largest; six more have 20."""
SMALL, SMALL_ROWS = 6, 20
WARM_UP = 3
app = typer.Typer(add_completion=False)


def spec_of(rows: int) -> FeatureSpec:
    """Ten categorical fields; the largest table has ``rows`` rows."""
    sizes = [max(int(rows * share), SMALL_ROWS) for share in SHARES] + [SMALL_ROWS] * SMALL
    sides: list[Side] = ["item", "user", "item", "user", *["context"] * SMALL]  # type: ignore[list-item]
    return FeatureSpec(
        tasks=(TaskSpec(name="click", column="label_click"),),
        vocabularies=tuple(Vocabulary(name=f"v{i}", size=size) for i, size in enumerate(sizes)),
        categorical=tuple(
            CategoricalFeature(name=f"f{i}", side=side, vocabulary=f"v{i}")
            for i, side in enumerate(sides)
        ),
        numeric=(),
        sequences=(),
    )


def rows_of(spec: FeatureSpec, size: int) -> Batch:
    """``size`` rows whose ids are spread over the tables evenly: the hardest case for a cache."""
    random = np.random.default_rng(0)
    ids = {
        f.name: torch.from_numpy(
            random.integers(2, spec.vocabulary(f.vocabulary).size, size).astype(np.int32)
        )
        for f in spec.categorical
    }
    return Batch(size=size, ids=ids, numbers={}, lists={}, labels={})


def with_zeros(ranker: Ranker, share: float) -> None:
    """Take ``share`` of the rows of every table to 0."""
    torch.manual_seed(1)
    with torch.no_grad():
        for table in ranker.table_weights().values():
            table[torch.rand(len(table)) < share] = 0


def written(
    folder: Path, recipe: str, spec: FeatureSpec, *, widths: dict[str, int], zeros: float
) -> Path:
    """A version folder of a ranker with new weights of width 16."""
    chosen = recipe_of(
        recipe, {"model.embedding.width": "16", "model.embedding.widths": str(widths)}
    )
    torch.manual_seed(0)
    ranker = chosen.build(spec).eval()
    with_zeros(ranker, zeros)
    transform = folder.parent / "transform"
    transform.mkdir(parents=True, exist_ok=True)
    spec.write(transform / "spec.json")
    write(
        folder,
        ranker=ranker,
        recipe=chosen,
        transform=transform,
        version=folder.name,
        feature_service="ranker",
        training_window={},
        metrics={},
    )
    return folder


def measured(folder: Path, candidates: int, rounds: int) -> dict[str, float]:
    """Load the version and score: megabytes and CPU milliseconds. In a process of its own."""
    torch.set_num_threads(1)
    before, start = resident_mb(), time.process_time()
    ranker = load(folder).ranker.eval()
    load_ms = 1000 * (time.process_time() - start)
    held, peak = resident_mb() - before, peak_mb() - before
    batch = rows_of(ranker.spec, candidates)
    embedding = ranker.embedding
    with torch.inference_mode():
        looked_up = _median(lambda: embedding.fields(batch), rounds)
        scored = _median(lambda: ranker(batch), rounds)
    counts = ranker.parameter_counts()
    return {
        "file_mb": round((folder / WEIGHTS).stat().st_size / 2**20, 1),
        "memory_mb": round(held, 1),
        "peak_while_loading_mb": round(peak, 1),
        "load_ms": round(load_ms, 1),
        "look_up_ms": round(looked_up, 3),
        "score_ms": round(scored, 3),
        "table_parameters": counts["embedding"],
        "dense_parameters": counts["dense"],
    }


def _median(call: Callable[[], object], rounds: int) -> float:
    took = []
    for number in range(WARM_UP + rounds):
        start = time.process_time()
        call()
        if number >= WARM_UP:
            took.append(1000 * (time.process_time() - start))
    return float(np.median(took))


def in_its_own_process(folder: Path, candidates: int, rounds: int) -> dict[str, float]:
    """:func:`measured`, so that nothing another version left is in its memory."""
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        return pool.apply(measured, (folder, candidates, rounds))


def figures_of(
    recipe: str, *, rows: int, narrow: int, zeros: float, candidates: int, rounds: int
) -> dict[str, Any]:
    """Figures of the four versions of ``recipe``.

    Args:
        recipe: the ranker's.
        rows: of the largest table.
        narrow: width of the four large tables where they are narrow.
        zeros: share of rows of zeros where there are any.
        candidates: that are looked up and scored at once.
        rounds: of look-ups and of scores.
    """
    spec = spec_of(rows)
    small = {f"v{i}": narrow for i in range(len(SHARES))}
    asked: dict[str, tuple[dict[str, int], float]] = {
        "whole": ({}, 0.0),
        "narrow": (small, 0.0),
        "zeros": ({}, zeros),
        "narrow, zeros": (small, zeros),
    }
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name, (widths, share) in asked.items():
            folder = written(Path(place) / name, recipe, spec, widths=widths, zeros=share)
            found[name] = in_its_own_process(folder, candidates, rounds)
    return found


@app.command()
def main(
    recipes: Annotated[list[str], typer.Option("--recipe", help="Which; several are allowed.")] = [  # noqa: B006
        "gcn",
        "fm",
    ],
    rows: Annotated[int, typer.Option(help="Of the largest table.")] = 1_000_000,
    narrow: Annotated[int, typer.Option(help="Width of the large tables, in place of 16.")] = 6,
    zeros: Annotated[float, typer.Option(help="Share of rows of zeros.")] = 0.65,
    candidates: Annotated[int, typer.Option(help="Looked up and scored at once.")] = 500,
    rounds: int = 50,
    write_file: Annotated[bool, typer.Option("--write/--no-write")] = True,
) -> None:
    """Megabytes and milliseconds of whole, narrow and thinned tables."""
    figures: dict[str, Any] = {
        "rows": sum(v.size for v in spec_of(rows).vocabularies),
        "width": 16,
        "narrow": narrow,
        "zeros": zeros,
        "candidates": candidates,
        "recipes": {
            recipe: figures_of(
                recipe, rows=rows, narrow=narrow, zeros=zeros, candidates=candidates, rounds=rounds
            )
            for recipe in recipes
        },
    }
    columns = ("file_mb", "memory_mb", "peak_while_loading_mb", "load_ms", "look_up_ms", "score_ms")
    table = Table("recipe", "tables", *columns, title=f"{figures['rows']:,} rows")
    for recipe, versions in figures["recipes"].items():
        for name, one in versions.items():
            table.add_row(recipe, name, *(f"{one[column]:,}" for column in columns))
    Console(stderr=True).print(table)
    if write_file:
        write_result(
            "saved_tables", figures, ["python", "-m", "benchmarks.static.saved", *sys.argv[1:]]
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
