"""Do few users who make much of the traffic decide an experiment without an effect?

``python -m benchmarks.large_users --nulls 1000``: the worlds of :mod:`benchmarks.ab.large`, each
experiment looked at ten times through the same functions as in production.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.ab.large import LOOKS, large_study
from benchmarks.measuring.results import write_result
from hemix.progress import say

app = typer.Typer(add_completion=False)


@app.command()
def main(
    nulls: Annotated[int, typer.Option(min=20, help="Null experiments of each world.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn.")] = 0,
    write: Annotated[bool, typer.Option(help="Write a dated file to results/.")] = True,
) -> None:
    """Simulate; the last line is JSON: world -> share in which something was called sure."""
    rates = large_study(seed, nulls=nulls, told=say)
    figures = {
        "nulls": nulls,
        "looks": LOOKS,
        "worst": max(rate["any"] for rate in rates.values()),
        "worlds": rates,
    }
    if write:
        command = [Path(sys.executable).name, "-m", "benchmarks.large_users", *sys.argv[1:]]
        write_result("large_users", figures, command)
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
