"""How fast HeMix trains on long histories: its engine against plain padded PyTorch, in one run.

The rows are those of benchmarks/made_up.py: histories of log-normal length, median a third of the
longest, one row in seven full, and Zipf-like ids. A step is look-up, forward pass, loss,
backward pass, clipping and both optimisers; batches are made beforehand. The variants have the same
weights and rows:

    plain    benchmarks/plain_hemix.py; dense gradients of the tables, torch's Adagrad
    folded   our attention; everything else as plain
    ours     our attention, one look-up a batch, gradients of touched rows, row-wise Adagrad

Each variant of a history runs in a process of its own, in turns; a figure is the median step of all
turns. MFU is the model's FLOPs (ours: keys and values folded away; a training step is three forward
passes) over what one large float32 product of matrices reaches on this machine. ``gb_per_s`` counts
the ids and embedding rows that a sample must read, three times (read, gradient, update).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.made_up import made_up_batch, made_up_spec
from benchmarks.memory import peak_mb
from benchmarks.plain_hemix import PlainHeMix
from benchmarks.results import write_result
from hemix.progress import say
from models.attention.layout import plan
from models.batch import Batch
from models.distributed import World
from models.hemix import HeMix
from models.hemix_config import HeMixConfig
from models.recipes import recipe_of
from models.steps import Steps

BATCH = {100: 2048, 1000: 512, 4000: 128, 10_000: 64}
"""Rows of a batch a history; others: so many that their events are some 200,000."""
VARIANTS = ("plain", "folded", "ours")
BATCHES = 3
app = typer.Typer(add_completion=False)


def make(
    variant: str,
    recipe: str,
    history: int,
    *,
    rows: int,
    full: bool = False,
    overrides: Mapping[str, str] | None = None,
) -> tuple[Steps, list[Batch]]:
    """The variant's training, at its first step, and the batches it takes in turn."""
    ours = variant == "ours"
    chosen = recipe_of(
        recipe,
        {
            "training.batch_size": str(rows),
            "training.precision": "float32",
            "training.embedding_optimizer": "rowwise_adagrad" if ours else "adagrad",
            "model.embedding.sparse": str(ours).lower(),
            "training.fused_lookup": str(ours).lower(),
            **(overrides or {}),
        },
    )
    spec = made_up_spec(history)
    assert isinstance(chosen.model, HeMixConfig)
    torch.manual_seed(0)
    model = (PlainHeMix if variant == "plain" else HeMix)(spec, chosen.model).train()
    batches = [made_up_batch(spec, rows, seed, full=full) for seed in range(BATCHES)]
    return Steps(model, chosen.training, World(device=torch.device("cpu"))), batches


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of every step within ``job['seconds']``, processor seconds, and memory."""
    torch.use_deterministic_algorithms(True)
    steps, batches = make(
        job["variant"], job["recipe"], job["history"], rows=job["rows"], full=job["full"]
    )
    before = peak_mb()
    took: list[float] = []
    number, cpu = 0, 0.0
    end = float("inf")
    while time.perf_counter() < end or len(took) < 3:
        batch = batches[number % len(batches)]
        number += 1
        wall, busy = time.perf_counter(), time.process_time()
        steps.take(batch, number, 0.5)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        if number == 2:  # the first two warm caches and optimisers up
            end = time.perf_counter() + job["seconds"]
        elif number > 2:
            took.append(wall)
            cpu += busy
    return {"took": took, "cpu": cpu / len(took), "peak_mb": peak_mb() - before}


def matmul_gflops() -> float:
    """The best of many 2,048-wide float32 products: what MFU is a share of."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best / 1e9


def case(recipe: str, history: int, *, seconds: float, turns: int, full: bool) -> dict[str, Any]:
    """All variants at one history, in turns."""
    rows = BATCH.get(history, max(16, 500_000 // history))
    results: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for _ in range(turns):
        for variant, found in results.items():
            job = {"variant": variant, "recipe": recipe, "history": history, "rows": rows}
            job |= {"seconds": seconds / turns, "full": full}
            command = [sys.executable, "-m", "benchmarks.train_speed", "--job", json.dumps(job)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    steps, batches = make("ours", recipe, history, rows=rows, full=full)
    ranker = steps.ranker
    peak = matmul_gflops()
    figures: dict[str, Any] = {
        "history": history, "full": full, "rows": rows, "matmul_gflops": round(peak),
        "waste_plain": round(_padding(batches), 4), "waste_ours": round(_waste(batches), 4),
    }  # fmt: skip
    share = _share_of_events(batches)
    for variant, found in results.items():
        median = float(np.median([second for one in found for second in one["took"]]))
        speed = rows / median
        figures[variant] = {
            "samples_per_s": round(speed, 1),
            "samples_per_cpu_s": round(rows / float(np.median([one["cpu"] for one in found])), 1),
            "peak_mb": round(max(one["peak_mb"] for one in found)),
            "kb_per_sample": round(max(one["peak_mb"] for one in found) * 1024 / rows, 1),
            "steps": sum(len(one["took"]) for one in found),
        }
    ours = figures["ours"]
    parts = ranker.flops_per_sample()
    # FLOPs and bytes at full length, less what the shorter rows do not have.
    work = 3 * _at_mean_length(parts, recipe, history, share)
    ours["mfu"] = round(work * ours["samples_per_s"] / (peak * 1e9), 4)
    moved = 3 * sum(ranker.bytes_per_sample().values()) * share
    ours["gb_per_s"] = round(moved * ours["samples_per_s"] / 1e9, 3)
    figures["ratio"] = round(ours["samples_per_s"] / figures["plain"]["samples_per_s"], 2)
    figures["ratio_cpu"] = round(
        ours["samples_per_cpu_s"] / figures["plain"]["samples_per_cpu_s"], 2
    )
    figures["ratio_folded"] = round(
        figures["folded"]["samples_per_s"] / figures["plain"]["samples_per_s"], 2
    )
    say(f"history {history}{' (all full)' if full else ''}: {json.dumps(figures)}")
    return figures


def _at_mean_length(parts: dict[str, int], recipe: str, history: int, share: float) -> float:
    """FLOPs of a sample of mean length: they are linear in it."""
    steps, _ = make("ours", recipe, 0, rows=1)
    empty = sum(steps.ranker.flops_per_sample().values())
    return empty + (sum(parts.values()) - empty) * share


def _share_of_events(batches: list[Batch]) -> float:
    """Events there are, of those that rows of full length would have, of the global sequence."""
    lists = [batch.lists["global"] for batch in batches]
    longest = max(int(one.lengths.max()) for one in lists)
    return sum(int(one.offsets[-1]) for one in lists) / sum(
        len(one.lengths) * longest for one in lists
    )


def _padding(batches: list[Batch]) -> float:
    """Share of places without an event when rows are padded to the longest of their batch."""
    lists = [one for batch in batches for one in batch.lists.values()]
    places = sum(len(one.lengths) * int(one.lengths.max()) for one in lists)
    return 1 - sum(int(one.offsets[-1]) for one in lists) / places


def _waste(batches: list[Batch]) -> float:
    """The same of our layouts."""
    lists = [one for batch in batches for one in batch.lists.values()]
    places = sum(len(plan(one.offsets).order) for one in lists)
    return 1 - sum(int(one.offsets[-1]) for one in lists) / places


def show(recipe: str, cases: list[dict[str, Any]]) -> None:
    """The figures as a table."""
    table = Table(title=f"Training {recipe}: samples a second on {torch.get_num_threads()} cores")
    for heading in (
        "history",
        "rows",
        "plain",
        "folded",
        "ours",
        "ratio",
        "padding",
        "waste",
        "MB",
    ):
        table.add_column(heading, justify="right")
    for one in cases:
        speeds = [f"{one[variant]['samples_per_s']:,.0f}" for variant in VARIANTS]
        memory = f"{one['plain']['peak_mb']:,} / {one['ours']['peak_mb']:,}"
        waste = (f"{one['waste_plain']:.0%}", f"{one['waste_ours']:.1%}")
        name = f"{one['history']:,}{' full' if one['full'] else ''}"
        table.add_row(name, f"{one['rows']:,}", *speeds, f"{one['ratio']:.2f}", *waste, memory)
    Console(stderr=True).print(table)


@app.command()
def main(
    history: Annotated[int, typer.Option(min=1, help="Longest history.")] = 1000,
    all_: Annotated[bool, typer.Option("--all", help="100, 1,000, 4,000 and 10,000.")] = False,
    recipe: Annotated[str, typer.Option(help="A HeMix recipe.")] = "tiny",
    seconds: Annotated[float, typer.Option(min=0.1, help="Time of a variant.")] = 20.0,
    turns: Annotated[int, typer.Option(min=1, help="Processes of a variant.")] = 2,
    full: Annotated[
        bool, typer.Option(help="Also with all rows full: no padding to save.")
    ] = False,
    note: Annotated[str, typer.Option(help="Kept with the figures: what else ran meanwhile.")] = "",
    write: Annotated[bool, typer.Option(help="Write a dated file under results/.")] = True,
    job: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure; the last line is JSON with samples_per_s and ratio_to_reference."""
    if job:
        print(json.dumps(measure(json.loads(job))))
        return
    histories = list(BATCH) if all_ else [history]
    kinds = (False, True) if full else (False,)
    cases = [
        case(recipe, one, seconds=seconds, turns=turns, full=kind)
        for one in histories
        for kind in kinds
    ]
    show(recipe, cases)
    asked = next(c for c in cases if c["history"] == (1000 if all_ else history))
    figures = {
        "samples_per_s": asked["ours"]["samples_per_s"],
        "ratio_to_reference": asked["ratio"],
        "recipe": recipe,
        "threads": torch.get_num_threads(),
        "note": note,
        "cases": cases,
    }
    if write:
        name = [Path(sys.executable).name, "-m", "benchmarks.train_speed", *sys.argv[1:]]
        write_result("train_speed", figures, name)
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
