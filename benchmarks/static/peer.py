"""FuxiCTR's models of static rows beside ours: asked for in a process of their own environment."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.data import RunData, Scores, read_scores, write_scores
from benchmarks.static.settings import FIXED
from hemix.errors import EnvironmentProblem
from hemix.files import digest_of, read_json, write_json
from hemix.progress import say

MODELS = ("dcnv2", "gdcn", "xdeepfm", "fibinet")
ROOT = Path(__file__).resolve().parents[2]


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
        "epochs": int(FIXED["training.epochs"]),
        "learning_rate": float(setting["training.learning_rate"]),
        "regularizer": float(setting["training.embedding_weight_decay"]),
        "dropout": float(setting.get("model.dropout", 0.0)),
    }
    name = f"fuxictr-{model}-{seed}-{digest_of([asked, data.digest], 8)}"
    kept, scored = folder / f"{name}.json", folder / f"{name}.npz"
    if kept.exists() and scored.exists():
        return dict(read_json(kept)), read_scores(scored)
    say(f"fuxictr {model}, seed {seed} {dict(setting)}")
    with tempfile.TemporaryDirectory() as working:
        place = Path(working)
        asked |= {
            "transformed": str(data.transformed), "transform": str(data.transform),
            "scores": str(place / "scores.npz"), "record": str(place / "record.json"),
            "threads": threads, "zoo": str(zoo),
        }  # fmt: skip
        (place / "request.json").write_text(json.dumps(asked))
        done = subprocess.run(
            [python, "-m", "benchmarks.rivals.fuxictr_static", place / "request.json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise EnvironmentProblem(
                f"fuxictr {model} failed: {last}",
                hint="Its environment: benchmarks/rivals/requirements-fuxictr.txt; "
                "--zoo: model_zoo of its repository.",
            )
        record, scores = read_json(place / "record.json"), read_scores(place / "scores.npz")
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(scored, scores)
    write_json(kept, record)
    return dict(record), scores
