"""Are the experiment's statistics honest? Null experiments, power, a broken split, CUPED.

``python -m benchmarks.experiments --nulls 2000``. The same functions as in production judge:

- **Null experiments**, each looked at after every 1 % of its data, in two kinds of traffic:
  *real*, the shipped KuaiRand log from 1 to 8 May, whose users come back, cut in two at random, again
  and again; and *simulated*, users who come once. Metric: clicks an impression by user, intervals
  adjusted by what the user did before (CUPED) and not. ``false_positive_rate`` is the worst of the
  four. Beside it a t-test looked at just as often.
- **Split**: 1 % of the challenger's users are served by the champion (``srm_detected``: share of
  experiments of a million users in which the sequential test finds out); and, harder to see, 1 % of
  the challenger's users are lost on the way to the log.
- **Power**: real traffic in which the challenger turns some skips into clicks; the sequence looked at
  all the time, against a t-test at the end only.
- **CUPED**: variance that behaviour of 25 to 30 April explains in clicks of 1 to 8 May.
"""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.ab.broken import split_study
from benchmarks.ab.picture import draw
from benchmarks.ab.real import RealLog, read_log
from benchmarks.ab.studies import Study, simulated_columns, study
from benchmarks.measuring.results import write_result
from hemix.progress import say

ALPHA = 0.05
LOOKS = 100
SIMULATED = 20_000
LIFTS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)
PICTURE = Path(__file__).with_name("results") / "experiments-power.svg"
app = typer.Typer(add_completion=False)


def false_positives(log: RealLog, nulls: int, seed: int) -> dict[str, Any]:
    """Shares of null experiments in which something was found at one look or another."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    looks = partial(log.columns, 0.0)
    real = study(looks, nulls, rng, alpha=ALPHA, horizon=log.impressions / 2)
    found["returning users"] = _rates(real)
    columns, impressions = simulated_columns(rng, users=SIMULATED, looks=LOOKS)
    once = study(columns, nulls, rng, alpha=ALPHA, horizon=impressions / 2)
    found["users who come once"] = _rates(once)
    for name, rates in found.items():
        say(f"null experiments, {name}: {rates}")
    return found


def _rates(judged: Study) -> dict[str, float]:
    return {
        "sequence": float(judged.found.any(axis=1).mean()),
        "sequence_cuped": float(judged.found_cuped.any(axis=1).mean()),
        "t_test_at_every_look": float(judged.t_found.any(axis=1).mean()),
        "t_test_at_the_end": float(judged.t_found[:, -1].mean()),
    }


def power(log: RealLog, experiments: int, seed: int) -> list[dict[str, float]]:
    """For each true lift: how often it is found, and after which share of the data."""
    curve = []
    for number, lift in enumerate(LIFTS):
        rng = np.random.default_rng([seed, number])
        horizon = log.impressions / 2
        judged = study(partial(log.columns, lift), experiments, rng, alpha=ALPHA, horizon=horizon)
        row = {
            "lift": lift,
            "sequence": float(judged.found.any(axis=1).mean()),
            "sequence_cuped": float(judged.found_cuped.any(axis=1).mean()),
            "t_test_at_the_end": float(judged.t_found[:, -1].mean()),
            "data_needed_cuped": _median_stop(judged.found_cuped),
        }
        say(f"true lift {lift:.1%}: {row}")
        curve.append(row)
    return curve


def _median_stop(found: Any) -> float:
    """Median share of the data at the first find, experiments without one counted as all of it."""
    first = np.where(found.any(axis=1), found.argmax(axis=1) + 1, found.shape[1])
    return float(np.median(first)) / float(found.shape[1])


@app.command()
def main(
    nulls: Annotated[int, typer.Option(min=100, help="Null experiments of each kind.")] = 2_000,
    experiments: Annotated[int, typer.Option(min=50, help="Experiments a point of power.")] = 400,
    users: Annotated[
        int | None, typer.Option(help="Only this many users of the log, for a quick look.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn.")] = 0,
    write: Annotated[bool, typer.Option(help="Write a dated file and picture to results/.")] = True,
) -> None:
    """Simulate; the last line is JSON with false_positive_rate, srm_detected and more."""
    log = read_log(looks=LOOKS, users=users)
    say(f"{log.users:,} users, {log.impressions:,} impressions, {log.known:,} users known before")
    null = false_positives(log, nulls, seed)
    split = split_study(seed)
    say(f"split: {split}")
    curve = power(log, experiments, seed)
    kept = log.variance_kept()
    worst = max(max(r["sequence"], r["sequence_cuped"]) for r in null.values())
    figures = {
        "false_positive_rate": worst,
        "srm_detected": split["assigned_wrongly"]["detected"],
        "cuped_variance_reduction": round(1 - kept, 4),
        "naive_peeking_false_positive_rate": max(r["t_test_at_every_look"] for r in null.values()),
        "nulls": nulls,
        "looks": LOOKS,
        "standard_error": round(math.sqrt(max(worst, 1 / nulls) * (1 - worst) / nulls), 4),
        "null_experiments": null,
        "split": split,
        "power": curve,
    }
    if write:
        draw(curve, null["returning users"]["t_test_at_every_look"], PICTURE)
        write_result(
            "experiments",
            figures,
            [Path(sys.executable).name, "-m", "benchmarks.experiments", *sys.argv[1:]],
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
