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
    return ask(
        "benchmarks.rivals.fuxictr_peer",
        asked,
        python=python,
        data=data,
        folder=folder,
        machine={"threads": threads},
        hint="Its environment: benchmarks/rivals/requirements-fuxictr.txt.",
    )


def ask(
    program: str,
    asked: Mapping[str, Any],
    *,
    python: Path,
    data: RunData,
    folder: Path,
    machine: Mapping[str, Any],
    hint: str,
) -> tuple[dict[str, Any], Scores]:
    """The record and the test scores of a training, by ``program`` unless ``folder`` has them.

    Args:
        program: module that takes the file of a request.
        asked: what names the training: ``model``, ``seed`` and all that its result depends on.
        python: that runs the program.
        data: the rows.
        folder: where finished trainings are kept.
        machine: further entries of the request, which no result depends on.
        hint: what to do when the program fails.

    Raises:
        EnvironmentProblem: the peer's process failed; the message ends with its last line.
    """
    model, seed = asked["model"], asked["seed"]
    name = f"fuxictr-{model}-{seed}-{digest_of([asked, data.digest], 8)}"
    kept, scored = folder / f"{name}.json", folder / f"{name}.npz"
    if kept.exists() and scored.exists():
        return dict(read_json(kept)), read_scores(scored)
    say(f"fuxictr {model}, seed {seed}, rate {asked['learning_rate']}, dropout {asked['dropout']}")
    with tempfile.TemporaryDirectory() as working:
        place = Path(working)
        request = {
            **asked,
            **machine,
            "transformed": str(data.transformed),
            "transform": str(data.transform),
            "scores": str(place / "scores.npz"),
            "record": str(place / "record.json"),
        }
        (place / "request.json").write_text(json.dumps(request))
        done = subprocess.run(
            [python, "-m", program, place / "request.json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise EnvironmentProblem(f"fuxictr {model} failed: {last}", hint=hint)
        record, scores = read_json(place / "record.json"), read_scores(place / "scores.npz")
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(scored, scores)
    write_json(kept, record)
    return dict(record), scores
