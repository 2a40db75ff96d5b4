"""The table: mean and deviation over seeds, and the paired difference to the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.data import HeldOut, Scores
from benchmarks.accuracy.training import measure
from hemix.models.metrics.bootstrap import UserBootstrap

REPLICATES = 200


def summary(
    records: Sequence[dict[str, Any]], scores: Sequence[Scores], test: HeldOut
) -> dict[str, Any]:
    """Mean and deviation (n - 1) over the seeds of one model.

    ``zero_rows``: over the seeds whose records have them.
    """
    measured = [measure(test, p) for p in scores]
    row = {
        "seeds": len(records),
        "test": {
            task: {name: spread([m[task][name] for m in measured]) for name in metrics}
            for task, metrics in measured[0].items()
        },
        "validation": {
            task: spread([r["validation"][task] for r in records])
            for task in records[0]["validation"]
        },
        "seconds": round(float(np.mean([r["seconds"] for r in records])), 1),
    }
    if counted := [r["zero_rows"] for r in records if "zero_rows" in r]:
        row["zero_rows"] = {key: spread([c[key] for c in counted]) for key in counted[0]}
    return row | {k: records[0][k] for k in ("parameters", "flops_per_sample") if k in records[0]}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and deviation (n - 1) over seeds."""
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return {"mean": round(float(np.mean(values)), 5), "deviation": round(float(deviation), 5)}


def differences(
    scores: Mapping[str, Sequence[Scores]], reference: str, test: HeldOut
) -> dict[str, dict[str, dict[str, float]]]:
    """Test AUC of each model minus that of ``reference``, a task: mean over the seeds both have.

    ``low`` and ``high``: 95 % interval of a bootstrap by user whose draws all seeds and models
    share. Seed ``i`` of one is paired with seed ``i`` of the other.
    """
    draws = UserBootstrap.draw(test.users, replicates=REPLICATES)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task, labels in test.labels.items():
        held = {
            model: [draws.metric("auc", labels, p[task]) for p in runs if task in p]
            for model, runs in scores.items()
        }
        for model, estimates in held.items():
            pairs = list(zip(estimates, held[reference], strict=False))
            if model == reference or not pairs:
                continue
            value = float(np.mean([a.value - b.value for a, b in pairs]))
            drawn = np.mean([a.replicates - b.replicates for a, b in pairs], axis=0)
            estimate = draws.estimate(value, drawn)
            found.setdefault(model, {})[task] = {
                "auc": round(estimate.value, 5),
                "low": round(estimate.low, 5),
                "high": round(estimate.high, 5),
            }
    return found


def show(figures: dict[str, Any], reference: str = "HeMix") -> None:
    """The figures on the terminal, best first by each task's AUC.

    ``reference``: what ``difference`` is the difference to.
    """
    models = figures["models"]
    for task in figures["tasks"]:
        rows = {name: row for name, row in models.items() if task in row["test"]}
        names = list(dict.fromkeys(n for row in rows.values() for n in row["test"][task]))
        table = Table(
            title=f"{figures['dataset']}, {task}: test split, mean ± deviation over seeds"
        )
        for heading in ("model", "seeds", *names, f"AUC minus {reference}", "dense", "seconds"):
            table.add_column(heading, justify="left" if heading == "model" else "right")
        for name, row in sorted(rows.items(), key=lambda r: -r[1]["test"][task]["auc"]["mean"]):
            cells = [row["test"][task].get(m) for m in names]
            gap = row.get("difference", {}).get(task)
            table.add_row(
                name,
                str(row["seeds"]),
                *(f"{c['mean']:.4f} ± {c['deviation']:.4f}" if c else "" for c in cells),
                f"{gap['auc']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]" if gap else "",
                f"{row['parameters']['dense']:,}",
                f"{row['seconds']:.0f}",
            )
        Console(width=150).print(table)
