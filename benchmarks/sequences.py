"""Speed and memory of build_examples against an element-wise Beam pipeline and polars.

Every contender runs in a process of its own over the same generated log. The element-wise pipeline
is slow, so it is compared on a smaller log of the same kind: ``ratio_to_elementwise`` is the ratio
of the times of both on that sample, ``ratio_to_polars`` that on the whole log, where both run
``--turns`` times, one after the other; a figure is that of the median run, ``seconds_of_all`` has
every run's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from benchmarks.inputs.generated import TYPES, definition
from benchmarks.measuring.memory import peak_mb
from benchmarks.measuring.results import write_result
from benchmarks.rivals import elementwise, polars_examples
from hemix.features.examples import build as examples
from hemix.features.schema import examples_schema
from hemix.progress import say

CONTENDERS = ("ours", "elementwise", "polars")
app = typer.Typer(add_completion=False)


def work(contender: str, events: Path, out: Path) -> dict[str, float]:
    """Run one contender in this process: wall and CPU seconds without imports, peak memory."""
    import apache_beam  # noqa: F401  (so that no contender's time holds an import)
    import pandas  # noqa: F401

    build: dict[str, Any] = {
        "ours": examples.build,
        "elementwise": elementwise.build,
        "polars": polars_examples.build,
    }
    imports_mb = peak_mb()
    start, busy = time.perf_counter(), time.process_time()
    build[contender](definition(), events, out)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "peak_mb": peak_mb(),
        "imports_mb": imports_mb,
    }


def measure(contender: str, events: Path, out: Path, rows: int) -> dict[str, float]:
    """Run one contender in a new process."""
    command = [sys.executable, "-m", "benchmarks.sequences", "--worker", contender]
    command += ["--events", str(events), "--out", str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    figures = {"rows": rows, "rows_per_s": rows / figures["seconds"], **figures}
    figures = {name: round(value, 2) for name, value in figures.items()}
    say(
        f"{contender}: {rows} rows in {figures['seconds']} s ({figures['rows_per_s']:.0f} rows/s), "
        f"peak {figures['peak_mb']:.0f} MB"
    )
    return figures


def in_turns(
    contenders: tuple[str, ...], events: Path, folder: Path, rows: int, turns: int
) -> dict[str, Any]:
    """The median run of each contender, by seconds; ``turns`` of them, in turns."""
    found: dict[str, list[dict[str, float]]] = {contender: [] for contender in contenders}
    for turn in range(turns):
        for contender, runs in found.items():
            runs.append(measure(contender, events, folder / f"{contender}-{turn}", rows))
    return {
        contender: {
            **sorted(runs, key=lambda one: one["seconds"])[len(runs) // 2],
            "seconds_of_all": [one["seconds"] for one in runs],
        }
        for contender, runs in found.items()
    }


def generate(folder: Path, rows: int) -> Path:
    """Write a log in a new process, so that this one stays small."""
    say(f"generating {rows} rows")
    code = (
        "import sys; from pathlib import Path; from benchmarks.inputs.generated import write_log; "
    )
    code += "write_log(Path(sys.argv[1]), int(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, str(folder), str(rows)], check=True)
    return folder


def read_sorted(out: Path) -> pa.Table:
    """All examples of a contender, in one order."""
    schema = examples_schema(definition(), TYPES)
    parts = [
        pq.ParquetFile(path).read().select(schema.names).cast(schema)
        for path in sorted(out.rglob("*.parquet"))
    ]
    return pa.concat_tables(parts).sort_by("request_id").combine_chunks()


def agree(outs: list[Path]) -> int:
    """Rows on which all contenders agree; the first that differs is an error."""
    tables = [read_sorted(out) for out in outs]
    for out, table in zip(outs[1:], tables[1:], strict=True):
        for name in tables[0].schema.names:
            if not tables[0][name].equals(table[name]):
                raise AssertionError(f"{out.name} differs from {outs[0].name} in {name}")
    return tables[0].num_rows


@app.command()
def main(
    rows: Annotated[int, typer.Option(help="Interactions of the main measurement.")] = 1_000_000,
    sizes: Annotated[
        str, typer.Option(help="Sizes to measure; by default a tenth, once and 4 times ROWS.")
    ] = "",
    sample: Annotated[
        int, typer.Option(help="Interactions of the element-wise pipeline and of the comparison.")
    ] = 50_000,
    turns: Annotated[
        int, typer.Option(min=1, help="Runs of each contender of the main measurement.")
    ] = 3,
    write: Annotated[bool, typer.Option(help="Write the dated result file.")] = True,
    worker: Annotated[str, typer.Option(hidden=True)] = "",
    events: Annotated[Path, typer.Option(hidden=True)] = Path(),
    out: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Interactions a second and peak memory of build_examples, and of two rivals."""
    if worker:
        print(json.dumps(work(worker, events, out)))
        return
    figures = run(rows, [int(size) for size in sizes.split(",") if size], sample, turns)
    if write:
        say(
            f"wrote {write_result('sequences', figures, ['python', '-m', 'benchmarks.sequences', *sys.argv[1:]])}"
        )
    keys = ("rows_per_s", "ratio_to_elementwise", "ratio_to_polars", "peak_mb")
    print(json.dumps({key: figures[key] for key in keys}))


def run(rows: int, sizes: list[int], sample: int, turns: int) -> dict[str, Any]:
    """Measure everything in a temporary folder."""
    details: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="hemix-") as folder:
        root = Path(folder)
        log = generate(root / "sample", sample)
        details["sample"] = {c: measure(c, log, root / c, sample) for c in CONTENDERS}
        same = agree([root / contender for contender in CONTENDERS])
        say(f"all three agree on {same} rows")
        for size in sorted({*(sizes or (rows // 10, 4 * rows)), rows}):
            with tempfile.TemporaryDirectory(dir=root) as inner:
                log = generate(Path(inner) / "events", size)
                main = size == rows
                contenders = ("ours", "polars") if main else ("ours",)
                details[str(size)] = in_turns(
                    contenders, log, Path(inner), size, turns if main else 1
                )
    whole, small = details[str(rows)], details["sample"]
    speed = whole["ours"]["rows_per_s"]
    return {
        "rows_per_s": speed,
        "ratio_to_elementwise": round(
            small["ours"]["rows_per_s"] / small["elementwise"]["rows_per_s"], 2
        ),
        "ratio_to_polars": round(speed / whole["polars"]["rows_per_s"], 2),
        "peak_mb": {size: d["ours"]["peak_mb"] for size, d in details.items() if size != "sample"},
        "elementwise_rows": sample,
        "rows_compared": same,
        "details": details,
    }


if __name__ == "__main__":
    app()
