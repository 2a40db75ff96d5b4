r"""How fast HeMix trains on long histories: its engine against plain padded PyTorch, in one run.

The rows are those of benchmarks/inputs/made_up.py: histories of log-normal length, median a third of the
longest, one row in seven full, and Zipf-like ids. A step is look-up, forward pass, loss,
backward pass, clipping and both optimisers; batches are made beforehand. The variants have the same
weights and rows:

    plain    benchmarks/rivals/plain_hemix.py; dense gradients of the tables, torch's Adagrad
    folded   our attention; everything else as plain
    ours     our attention, one look-up per batch, gradients of touched rows, row-wise Adagrad

With ``--unirank FOLDER``, a checkout of it, also

    unirank  benchmarks/rivals/unirank_hemix.py: UniRank's tokenizer, attention and mixer; everything
             else as plain. Its weights are its own; the recipe of its shape is ``unirank_like``

Each variant of a history runs in a process of its own, in turns; a figure is the median step of all
turns. MFU is the model's FLOPs (ours: keys and values folded away; a training step is three forward
passes) over what one large product of matrices of the same precision reaches on the same device
(``matmul_gflops``). ``gb_per_s`` counts the ids and embedding rows that a sample must read, three
times (read, gradient, update); ``bandwidth_share`` is that over what a copy of a large tensor reaches
there, bytes read and written (``copy_gb_per_s``). Both peaks are measured, none is a data sheet's.
``peak_mb`` is what the steps need beside the model and the batches: of the process on the CPU, of
torch's tensors on a GPU, where steps are timed to the end of the GPU's work.

The shape of a large run, on a card (histories of 100 events and 20 real-time ones):

    python -m benchmarks.train_speed --device cuda --precision bfloat16 --history 100 --rows 8192 \
        --set model.token_width=256 --set model.blocks=3

Recipes that drop ids draw for a padded batch; what that costs says
``--set model.embedding.id_dropout=0.2``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.inputs.made_up import made_up_batch, made_up_spec
from benchmarks.measuring.device import copy_gb_per_s, finish, matmul_gflops
from benchmarks.measuring.memory import peak_mb
from benchmarks.measuring.results import write_result
from benchmarks.rivals.plain_hemix import PlainHeMix
from benchmarks.rivals.unirank_hemix import UniRankHeMix, their_module
from hemix.models.data.batch import Batch
from hemix.models.layers.attention.reading import layout_of
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.training.distributed import World, pick_device
from hemix.models.training.objectives.objective import Objective
from hemix.models.training.recipes import recipe_of
from hemix.models.training.train_step import Steps
from hemix.progress import say
from hemix.spec import FeatureSpec

BATCH = {100: 2048, 1000: 512, 4000: 128, 10_000: 64}
"""Rows of a batch a history; others: so many that their events are some 200,000."""
VARIANTS = ("plain", "folded", "ours")
BATCHES = 3
app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is trained, apart from the variant. ``overrides``: of the recipe, as ``--set`` has them;
    ``unirank``: a checkout of UniRank, empty for none.
    """

    recipe: str
    history: int
    rows: int
    full: bool = False
    precision: str = "float32"
    device: str = "cpu"
    unirank: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)


def make(variant: str, setup: Setup) -> tuple[Steps, list[Batch]]:
    """The variant's training, at its first step, and the batches it takes in turn."""
    ours = variant == "ours"
    chosen = recipe_of(
        setup.recipe,
        {
            **setup.overrides,
            "training.batch_size": str(setup.rows),
            "training.precision": setup.precision,
            "training.embedding_optimizer": "rowwise_adagrad" if ours else "adagrad",
            "model.embedding.sparse": str(ours).lower(),
            "training.fused_lookup": str(ours).lower(),
        },
    )
    spec = made_up_spec(setup.history)
    assert isinstance(chosen.model, HeMixConfig)
    device = torch.device(setup.device)
    torch.manual_seed(0)
    model = _model(variant, setup, spec, chosen.model).train().to(device)
    model.objective = Objective(chosen.training.objective, model)
    batches = [
        made_up_batch(spec, setup.rows, seed, full=setup.full).to(device) for seed in range(BATCHES)
    ]
    return Steps(model, chosen.training, World(device=device)), batches


def _model(variant: str, setup: Setup, spec: FeatureSpec, config: HeMixConfig) -> Ranker:
    if variant == "unirank":
        return UniRankHeMix(spec, config, their_module(Path(setup.unirank)))
    return (PlainHeMix if variant == "plain" else HeMix)(spec, config)


def measure(variant: str, setup: Setup, seconds: float) -> dict[str, Any]:
    """Seconds of every step within ``seconds``, processor seconds, and memory."""
    device = torch.device(setup.device)
    if device.type == "cpu":  # as models/training/trainer.py does
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    steps, batches = make(variant, setup)
    memory = Memory(device)
    took: list[float] = []
    number, cpu = 0, 0.0
    end = float("inf")
    while time.perf_counter() < end or len(took) < 3:
        batch = batches[number % len(batches)]
        number += 1
        finish(device)
        wall, busy = time.perf_counter(), time.process_time()
        steps.take(batch, number, 0.5)
        finish(device)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        if number == 2:  # the first two warm caches and optimisers up, and compile kernels
            end = time.perf_counter() + seconds
        elif number > 2:
            took.append(wall)
            cpu += busy
    return {"took": took, "cpu": cpu / len(took), "peak_mb": memory.grown_mb()}


class Memory:
    """Peak memory from now on, over what is held now, in MB of 2^20 bytes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            finish(device)
            torch.cuda.reset_peak_memory_stats(device)
        self.before = self._peak()

    def grown_mb(self) -> float:
        return self._peak() - self.before

    def _peak(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return peak_mb()


def case(setup: Setup, *, seconds: float, turns: int) -> dict[str, Any]:
    """All variants at one history, in turns."""
    asked = (*VARIANTS, "unirank") if setup.unirank else VARIANTS
    results: dict[str, list[dict[str, Any]]] = {variant: [] for variant in asked}
    for _ in range(turns):
        for variant, found in results.items():
            job = {"variant": variant, "setup": asdict(setup), "seconds": seconds / turns}
            command = [sys.executable, "-m", "benchmarks.train_speed", "--job", json.dumps(job)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    device = torch.device(setup.device)
    peak, copied = matmul_gflops(device, setup.precision), copy_gb_per_s(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the processes of the next case share the card
    figures = summary(setup, results, peak, copied)
    say(f"history {setup.history}{' (all full)' if setup.full else ''}: {json.dumps(figures)}")
    return figures


def summary(
    setup: Setup, results: Mapping[str, list[dict[str, Any]]], peak: float, copied: float
) -> dict[str, Any]:
    """The figures of a case from what :func:`measure` found and the device's two peaks."""
    rows = setup.rows
    steps, batches = make("ours", replace(setup, device="cpu"))
    ranker = steps.ranker
    figures: dict[str, Any] = {
        "history": setup.history, "full": setup.full, "rows": rows,
        "matmul_gflops": round(peak), "copy_gb_per_s": round(copied, 1),
        "waste_plain": round(_padding(batches), 4),
        "waste_ours": round(_waste(ranker, batches, torch.device(setup.device)), 4),
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
    # FLOPs and bytes at full length, less what the shorter rows do not have.
    work = 3 * _at_mean_length(ranker.flops_per_sample(), setup, share)
    ours["mfu"] = round(work * ours["samples_per_s"] / (peak * 1e9), 4)
    moved = 3 * sum(ranker.bytes_per_sample().values()) * share
    ours["gb_per_s"] = round(moved * ours["samples_per_s"] / 1e9, 3)
    ours["bandwidth_share"] = round(ours["gb_per_s"] / copied, 4)
    figures["ratio"] = round(ours["samples_per_s"] / figures["plain"]["samples_per_s"], 2)
    figures["ratio_cpu"] = round(
        ours["samples_per_cpu_s"] / figures["plain"]["samples_per_cpu_s"], 2
    )
    figures["ratio_folded"] = round(
        figures["folded"]["samples_per_s"] / figures["plain"]["samples_per_s"], 2
    )
    if theirs := figures.get("unirank"):
        figures["ratio_unirank"] = round(ours["samples_per_s"] / theirs["samples_per_s"], 2)
        figures["ratio_unirank_cpu"] = round(
            ours["samples_per_cpu_s"] / theirs["samples_per_cpu_s"], 2
        )
        figures["memory_of_unirank"] = round(ours["peak_mb"] / theirs["peak_mb"], 2)
    return figures


def _at_mean_length(parts: dict[str, int], setup: Setup, share: float) -> float:
    """FLOPs of a sample of mean length: they are linear in it."""
    steps, _ = make("ours", replace(setup, history=0, rows=1, device="cpu"))
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


def _waste(ranker: Ranker, batches: list[Batch], device: torch.device) -> float:
    """The same of our layouts, of which there are none where the kernel reads rows as they lie."""
    width = 4 * ranker.embedding.config.width
    places, events = 0, 0
    for sequence in ranker.spec.sequences:
        for batch in batches:
            offsets = batch.lists[sequence.name].offsets
            layout = layout_of(offsets.to(device), len(sequence.columns) * width)
            events += int(offsets[-1])
            places += int(offsets[-1]) if layout is None else len(layout.order)
    return 1 - events / places


def show(recipe: str, where: str, cases: list[dict[str, Any]]) -> None:
    """The figures as a table."""
    table = Table(title=f"Training {recipe}: samples per second on {where}")
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
        *(("UniRank", "ratio", "MB") if "unirank" in cases[0] else ()),
    ):
        table.add_column(heading, justify="right")
    for one in cases:
        speeds = [f"{one[variant]['samples_per_s']:,.0f}" for variant in VARIANTS]
        memory = f"{one['plain']['peak_mb']:,} / {one['ours']['peak_mb']:,}"
        waste = (f"{one['waste_plain']:.0%}", f"{one['waste_ours']:.1%}")
        name = f"{one['history']:,}{' full' if one['full'] else ''}"
        row = [name, f"{one['rows']:,}", *speeds, f"{one['ratio']:.2f}", *waste, memory]
        if theirs := one.get("unirank"):
            speed, needed = theirs["samples_per_s"], theirs["peak_mb"]
            row += [f"{speed:,.0f}", f"{one['ratio_unirank']:.2f}", f"{needed:,}"]
        table.add_row(*row)
    Console(stderr=True).print(table)


@app.command()
def main(
    history: Annotated[int, typer.Option(min=1, help="Longest history.")] = 1000,
    all_: Annotated[bool, typer.Option("--all", help="100, 1,000, 4,000 and 10,000.")] = False,
    recipe: Annotated[str, typer.Option(help="A HeMix recipe.")] = "tiny",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the recipe; repeatable."),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows of a batch; 0: by the history.")] = 0,
    device: Annotated[
        str, typer.Option(help="cpu or cuda. [default: cuda when there is a GPU]")
    ] = "",
    precision: Annotated[
        str, typer.Option(help="training.precision: float32, or bfloat16 by autocast.")
    ] = "float32",
    seconds: Annotated[float, typer.Option(min=0.1, help="Time of a variant.")] = 20.0,
    turns: Annotated[int, typer.Option(min=1, help="Processes of a variant.")] = 2,
    full: Annotated[
        bool, typer.Option(help="Also with all rows full: no padding to save.")
    ] = False,
    unirank: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A checkout of UniRank: its HeMix too.")
    ] = None,
    note: Annotated[str, typer.Option(help="Kept with the figures: what else ran meanwhile.")] = "",
    write: Annotated[bool, typer.Option(help="Write a dated file under results/.")] = True,
    job: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure; the last line is JSON with samples_per_s and ratio_to_reference."""
    if job:
        asked = json.loads(job)
        print(json.dumps(measure(asked["variant"], Setup(**asked["setup"]), asked["seconds"])))
        return
    place = torch.device(device) if device in ("cpu", "cuda") else pick_device()
    if device not in ("", place.type) or (place.type == "cuda" and not torch.cuda.is_available()):
        raise typer.BadParameter(f"--device {device}: cpu, or cuda where there is a GPU")
    overrides = dict(_pair(one) for one in set_ or ())
    if unirank:
        their_module(unirank)  # refuses before anything is measured
    cases = [
        case(
            Setup(
                recipe=recipe,
                history=one,
                rows=rows or BATCH.get(one, max(16, 500_000 // one)),
                full=kind,
                precision=precision,
                device=place.type,
                unirank=str(unirank.resolve()) if unirank else "",
                overrides=overrides,
            ),
            seconds=seconds,
            turns=turns,
        )
        for one in (list(BATCH) if all_ else [history])
        for kind in ((False, True) if full else (False,))
    ]
    threads = torch.get_num_threads()
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu"
    show(recipe, f"{threads} cores" if name == "cpu" else name, cases)
    chosen = next(c for c in cases if c["history"] == (1000 if all_ else history))
    figures = {
        "samples_per_s": chosen["ours"]["samples_per_s"],
        "ratio_to_reference": chosen["ratio"],
        "recipe": recipe,
        "set": overrides,
        "device": name,
        "precision": precision,
        "threads": threads,
        "note": note,
        "cases": cases,
    }
    if write:
        command = [Path(sys.executable).name, "-m", "benchmarks.train_speed", *sys.argv[1:]]
        write_result("train_speed-unirank" if unirank else "train_speed", figures, command)
    print(json.dumps(figures))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise typer.BadParameter(f"--set {text!r}: write KEY=VALUE")
    return key.strip(), value.strip()


if __name__ == "__main__":
    app()
