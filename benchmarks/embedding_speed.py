"""A whole training step before and after one look-up per batch, on the batches of a finished run.

``python -m benchmarks.embedding_speed --run runs/demo``. All variants train the same recipe from the
same weights on the same batches of the run's transformed rows, turn about in one process. A figure
is the median in milliseconds of this process's CPU time, all its threads: what else the machine does
is not in it. Beside the steps, the tables alone: look-up, backward pass and row-wise Adagrad of all
columns of a batch, and the same by FBGEMM where benchmarks/rivals/requirements-fbgemm.txt is
installed.

    dense             a look-up a column, dense gradients, AdamW (the default before)
    dense, fused      one look-up per batch (the default now)
    sparse            a look-up a column, gradients of touched rows, Adagrad (before)
    sparse, fused     one look-up per batch, row-wise Adagrad
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as fn

from benchmarks.accuracy.data import RunData
from benchmarks.measuring.results import write_result
from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.models.embedding.lookup import Lookup
from hemix.models.embedding.rowwise_adagrad import RowwiseAdagrad
from hemix.models.training.distributed import World
from hemix.models.training.recipes import recipe_of
from hemix.models.training.train_step import Steps
from hemix.spec import FeatureSpec

SPARSE = {"model.embedding.sparse": "true", "training.fused_lookup": "false"}
VARIANTS: dict[str, dict[str, str]] = {
    "dense": {"training.fused_lookup": "false"},
    "dense, fused": {},
    "sparse": {**SPARSE, "training.embedding_optimizer": "adagrad"},
    "sparse, fused": {
        "model.embedding.sparse": "true",
        "training.embedding_optimizer": "rowwise_adagrad",
    },
}
FORMER = {"dense, fused": "dense", "sparse, fused": "sparse"}
BATCHES = 8
WARM_UP = 2
app = typer.Typer(add_completion=False)


def larger(spec: FeatureSpec, rows: int) -> FeatureSpec:
    """``spec`` with at least ``rows`` ids in the tables of its two largest vocabularies."""
    order = sorted(spec.vocabularies, key=lambda v: -v.size)
    names = {v.name for v in order[:2]}
    return spec.model_copy(
        update={
            "vocabularies": tuple(
                v.model_copy(update={"size": max(v.size, rows)}) if v.name in names else v
                for v in spec.vocabularies
            )
        }
    )


def turns(work: dict[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each variant's calls, which take turns."""
    took: dict[str, list[float]] = {name: [] for name in work}
    for number in range(WARM_UP + rounds):
        for name, call in work.items():
            start = time.process_time()
            call(number)
            if number >= WARM_UP:
                took[name].append(1000 * (time.process_time() - start))
    return {name: round(float(np.median(values)), 2) for name, values in took.items()}


def steps(spec: FeatureSpec, recipe: str, batches: list[Batch], rounds: int) -> dict[str, float]:
    """Milliseconds of a whole step of each variant."""
    work: dict[str, Callable[[int], None]] = {}
    for name, overrides in VARIANTS.items():
        size = {"training.batch_size": str(batches[0].size)}
        chosen = recipe_of(recipe, {**size, **overrides})
        torch.manual_seed(0)
        own = Steps(chosen.build(spec).train(), chosen.training, World())

        def step(number: int, own: Steps = own) -> None:
            own.take(batches[number % len(batches)], number + 1, 0.1)

        work[name] = step
    return turns(work, rounds)


def columns_of(spec: FeatureSpec, batch: Batch) -> dict[str, list[Tensor]]:
    """The ids of every column, by vocabulary, flat and without padding."""
    ids: dict[str, list[Tensor]] = {}
    for field in spec.categorical:
        ids.setdefault(field.vocabulary, []).append(batch.ids[field.name])
    for sequence in spec.sequences:
        values = batch.lists[sequence.name].values
        for column, own in zip(sequence.columns, values, strict=True):
            ids.setdefault(column.vocabulary, []).append(own)
    return ids


def tables_alone(
    spec: FeatureSpec, batches: list[Batch], width: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of look-up, backward pass and row-wise Adagrad of all tables."""
    wanted = [columns_of(spec, batch) for batch in batches]
    sizes = {name: spec.vocabulary(name).size for name in wanted[0]}

    plain, fused = (
        {name: nn.Parameter(torch.randn(size, width)) for name, size in sizes.items()}
        for _ in range(2)
    )
    plain_steps, fused_steps = (RowwiseAdagrad(one.values(), lr=0.01) for one in (plain, fused))
    places: dict[str, Tensor] = {}

    def by_column(number: int) -> None:
        ids = wanted[number % len(wanted)]
        plain_steps.zero_grad()
        found = [
            fn.embedding(one, plain[name], sparse=True) for name, own in ids.items() for one in own
        ]
        torch.cat(found).square().sum().backward()  # type: ignore[no-untyped-call]
        plain_steps.step()

    def by_batch(number: int) -> None:
        ids = wanted[number % len(wanted)]
        fused_steps.zero_grad()
        lookup = Lookup(fused, ids, places, sparse=True)
        found = [lookup([name], [one])[:, 0] for name, own in ids.items() for one in own]
        torch.cat(found).square().sum().backward()  # type: ignore[no-untyped-call]
        lookup.close()
        fused_steps.step()

    work: dict[str, Callable[[int], None]] = {
        "a look-up a column": by_column,
        "one look-up": by_batch,
    }
    if theirs := _fbgemm(sizes, width):

        def by_fbgemm(number: int) -> None:
            ids = [torch.cat(own).long() for own in wanted[number % len(wanted)].values()]
            theirs(ids).square().sum().backward()  # type: ignore[no-untyped-call]

        work["FBGEMM"] = by_fbgemm
    return turns(work, rounds)


def _fbgemm(sizes: dict[str, int], width: int) -> Callable[[list[Tensor]], Tensor] | None:
    """FBGEMM's tables with exact row-wise Adagrad in the backward pass: ids a table -> vectors."""
    try:
        from fbgemm_gpu.split_embedding_configs import EmbOptimType
        from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
            ComputeDevice,
            EmbeddingLocation,
            PoolingMode,
            SplitTableBatchedEmbeddingBagsCodegen,
        )
    except (ImportError, OSError):
        return None
    place = (EmbeddingLocation.HOST, ComputeDevice.CPU)
    tables = SplitTableBatchedEmbeddingBagsCodegen(
        [(size, width, *place) for size in sizes.values()],
        optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        learning_rate=0.01,
        eps=1e-10,
        pooling_mode=PoolingMode.NONE,
    )

    def look_up(ids: list[Tensor]) -> Tensor:
        lengths = torch.tensor([0, *(len(one) for one in ids)])
        vectors: Tensor = tables(torch.cat(ids), lengths.cumsum(0))
        return vectors

    return look_up


@app.command()
def main(
    run: Annotated[Path, typer.Option(help="A finished hemix run.")] = Path("runs/demo"),
    recipe: str = "compact",
    batch: int = 512,
    rounds: int = 40,
    threads: int = 1,
    table_rows: Annotated[int, typer.Option(help="Ids of large tables; 0: the run's own.")] = 0,
    write: bool = True,
) -> None:
    """Milliseconds of a step, and ratios against the former path."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    data = RunData.of(run)
    spec, rows = data.spec, [data.transformed / "train"]
    reader = ParquetReader(spec, rows, batch_size=batch, shuffle_rows=20_000)
    source = reader.epoch()
    batches = [next(source) for _ in range(BATCHES)]
    source.close()
    spec = larger(spec, table_rows) if table_rows else spec
    width = recipe_of(recipe).model.embedding.width
    whole = steps(spec, recipe, batches, rounds)
    alone = tables_alone(spec, batches, width, rounds)
    events = sum(int(lists.offsets[-1]) for one in batches for lists in one.lists.values())
    figures: dict[str, Any] = {
        "recipe": recipe,
        "batch": batch,
        "threads": threads,
        "events_a_row": round(events / (BATCHES * batch), 1),
        "table_rows": sum(v.size for v in spec.vocabularies),
        "step_ms": whole,
        "samples_per_s": {name: round(1000 * batch / ms) for name, ms in whole.items()},
        "step_ratio": {new: round(whole[old] / whole[new], 2) for new, old in FORMER.items()},
        "tables_ms": alone,
        "tables_ratio": round(alone["a look-up a column"] / alone["one look-up"], 2),
    }
    table = Table(title=f"{recipe}, batch {batch}: CPU milliseconds")
    table.add_column("variant")
    table.add_column("ms", justify="right")
    for name, ms in {**whole, **{f"tables: {k}": v for k, v in alone.items()}}.items():
        table.add_row(name, f"{ms:.1f}")
    Console(stderr=True).print(table)
    if write:
        name = "embedding_speed" + (f"-{table_rows}" if table_rows else "")
        write_result(name, figures, ["python", "-m", "benchmarks.embedding_speed", *sys.argv[1:]])
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
