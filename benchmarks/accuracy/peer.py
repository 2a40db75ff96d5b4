"""FuxiCTR's models beside ours: asked for in a process with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.data import RunData, Scores, read_scores, write_scores
from hemix.errors import EnvironmentProblem
from hemix.files import digest_of, read_json, write_json
from hemix.progress import say

MODELS = ("din", "dcnv2", "finalmlp")
ROOT = Path(__file__).resolve().parents[2]


def train(
    *,
    python: Path,
    model: str,
    seed: int,
    overrides: Mapping[str, str],
    data: RunData,
    folder: Path,
    threads: int,
) -> tuple[dict[str, Any], Scores]:
    """One of :data:`MODELS` on the first task; rates and dropout are taken from ``overrides``.

    Raises:
        EnvironmentProblem: the peer's process failed; the message ends with its last line.
    """
    from hemix.models.training.recipes import compact

    default = compact()
    asked: dict[str, Any] = {
        "model": model,
        "task": data.spec.tasks[0].name,
        "seed": seed,
        "width": default.model.embedding.width,
        "batch_size": default.training.batch_size,
        "epochs": default.training.epochs,
        "learning_rate": float(overrides.get("training.learning_rate", 1e-3)),
        "dropout": float(overrides.get("model.dropout", 0.0)),
    }
    name = f"fuxictr-{model}-{seed}-{digest_of([asked, data.digest], 8)}"
    kept, scored = folder / f"{name}.json", folder / f"{name}.npz"
    if kept.exists() and scored.exists():
        return dict(read_json(kept)), read_scores(scored)
    say(f"fuxictr {model}, seed {seed}, rate {asked['learning_rate']}, dropout {asked['dropout']}")
    with tempfile.TemporaryDirectory() as working:
        place = Path(working)
        asked |= {
            "transformed": str(data.transformed), "transform": str(data.transform),
            "scores": str(place / "scores.npz"), "record": str(place / "record.json"),
            "threads": threads,
        }  # fmt: skip
        (place / "request.json").write_text(json.dumps(asked))
        done = subprocess.run(
            [python, "-m", "benchmarks.rivals.fuxictr_peer", place / "request.json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise EnvironmentProblem(
                f"fuxictr {model} failed: {last}",
                hint="Its environment: benchmarks/rivals/requirements-fuxictr.txt.",
            )
        record, scores = read_json(place / "record.json"), read_scores(place / "scores.npz")
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(scored, scores)
    write_json(kept, record)
    return dict(record), scores
