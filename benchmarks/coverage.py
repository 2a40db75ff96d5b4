"""How often do the intervals of offline metrics hold the truth, by number of users?

``python -m benchmarks.coverage``. Populations of users with a click rate of their own; a model that is
calibrated and one whose probabilities are pulled too high; a task with many positives and one with
few. The truth is the metric of 400,000 users. For each number of users, samples are drawn again and
again and the shipped user bootstrap gives each its 95 % interval: the share that holds the truth is
the coverage. Of the ECE the truth is that of equal-mass bins, as the metric has them (0 for the
calibrated model).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.measuring.results import write_result
from hemix.models.metrics import calibration
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.progress import say

USERS = (50, 100, 300, 1_000, 10_000)
POPULATION = 400_000
REPLICATES = 300
NAMES = ("auc", "user_gauc", "logloss", "normalized_entropy", "pcoc", "ece")
WORLDS = {
    "calibrated": (0.0, 0.0),
    "too high": (0.0, 0.4),
    "rare, calibrated": (-3.5, 0.0),
    "rare, too high": (-3.5, 0.4),
}
"""Name -> logit of the mean rate, and what the model adds to every logit."""
app = typer.Typer(add_completion=False)


def draw(
    users: int, world: tuple[float, float], rng: np.random.Generator
) -> tuple[Any, Any, Any, Any]:
    """Users, labels, the model's scores and a lesser model's ``[B]`` of one sample."""
    base, shift = world
    rows = 1 + rng.poisson(7.0 * rng.gamma(1.0, 1.0, users))
    of = np.repeat(np.arange(users), rows)
    own = rng.normal(0.0, 0.7, users)[of]
    seen = rng.normal(0.0, 0.8, of.size)
    truth = base + own + seen
    labels = (rng.random(of.size) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    lesser = truth + rng.normal(0.0, 0.5, of.size)
    return of, labels, 1 / (1 + np.exp(-truth - shift)), 1 / (1 + np.exp(-lesser - shift))


def truth_of(world: tuple[float, float], seed: int) -> dict[str, float]:
    """The metrics of the population."""
    of, labels, scores, lesser = draw(POPULATION, world, np.random.default_rng([seed, 1]))
    found = {
        "user_gauc": metrics.gauc(labels, scores, of),
        "ece": 0.0 if not world[1] else calibration.ece(labels, scores),
    }
    for name in NAMES:
        if name not in found:
            found[name] = float(getattr(metrics, name)(labels, scores))
    found["auc difference"] = found["auc"] - metrics.auc(labels, lesser)
    return found


def coverage(
    users: int, world: tuple[float, float], truth: dict[str, float], samples: int, seed: int
) -> dict[str, float]:
    """Metric -> share of samples whose interval holds the truth; NaN where none has one."""
    rng = np.random.default_rng([seed, users])
    held: dict[str, list[float]] = {name: [] for name in truth}
    for number in range(samples):
        of, labels, scores, lesser = draw(users, world, rng)
        draws = UserBootstrap.draw(of, replicates=REPLICATES, seed=number)
        found = {name: draws.metric(name, labels, scores) for name in NAMES if name in truth}
        if "auc difference" in truth:
            found["auc difference"] = draws.difference(
                found["auc"], draws.metric("auc", labels, lesser)
            )
        for name, estimate in found.items():
            known = not np.isnan(estimate.low)
            inside = estimate.low <= truth[name] <= estimate.high
            held[name].append(float(inside) if known else np.nan)
    return {
        name: round(float(np.nanmean(values)), 4) if not np.isnan(values).all() else float("nan")
        for name, values in held.items()
    }


@app.command()
def main(
    samples: Annotated[int, typer.Option(min=20, help="Samples of each number of users.")] = 500,
    most: Annotated[int, typer.Option(help="Largest number of users.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn.")] = 0,
    write: Annotated[bool, typer.Option(help="Write a dated file to results/.")] = True,
) -> None:
    """Simulate; the last line is JSON: world -> users -> metric -> coverage."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, world in WORLDS.items():
        truth = truth_of(world, seed)
        for users in (n for n in USERS if n <= most):
            # A large sample costs as much as many small ones.
            number = samples if users <= 1_000 else max(20, samples // 4)
            row = coverage(users, world, truth, number, seed)
            found.setdefault(name, {})[str(users)] = row
            say(f"{name}, {users:,} users, {number} samples: {row}")
    figures = {"samples": samples, "replicates": REPLICATES, "confidence": 0.95, "coverage": found}
    if write:
        command = [Path(sys.executable).name, "-m", "benchmarks.coverage", *sys.argv[1:]]
        write_result("coverage", figures, command)
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
