"""FuxiCTR's models of static rows beside ours: asked for in a process of their own environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.peer import ask
from benchmarks.static.settings import FIXED

MODELS = ("dcnv2", "gdcn", "xdeepfm", "fibinet")


def train(
    *,
    python: Path,
    zoo: Path,
    model: str,
    seed: int,
    setting: Mapping[str, str],
    data: RunData,
    folder: Path,
    threads: int,
) -> tuple[dict[str, Any], Scores]:
    """One of :data:`MODELS` with the rate, L2 of tables and dropout of ``setting``.

    Args:
        python: of an environment with ``benchmarks/rivals/requirements-fuxictr.txt``.
        zoo: ``model_zoo`` of a checkout of FuxiCTR; its package leaves these models out.
        model: which.
        seed: of weights and order.
        setting: as ours gets it.
        data: the rows.
        folder: where finished trainings are kept.
        threads: of the training.

    Raises:
        EnvironmentProblem: the peer's process failed; the message ends with its last line.
    """
    asked: dict[str, Any] = {
        "model": model,
        "seed": seed,
        "width": int(FIXED["model.embedding.width"]),
        "batch_size": int(FIXED["training.batch_size"]),
        "epochs": int(setting["training.epochs"]),
        "learning_rate": float(setting["training.learning_rate"]),
        "regularizer": float(setting["training.embedding_weight_decay"]),
        "dropout": float(setting["model.dropout"]),
    }
    return ask(
        "benchmarks.rivals.fuxictr_static",
        asked,
        python=python,
        data=data,
        folder=folder,
        machine={"threads": threads, "zoo": str(zoo)},
        hint="Its environment: benchmarks/rivals/requirements-fuxictr.txt; "
        "--zoo: model_zoo of its repository.",
    )
