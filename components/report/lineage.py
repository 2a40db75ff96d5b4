"""Where a version comes from and where it went: manifest, deployment, the run's record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemix.components.report.parts import Missing
from hemix.errors import StorageError
from hemix.files import read_json
from hemix.storage import read_bytes


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """What the page shows of a manifest."""

    version: str
    ranker: str
    recipe: str
    created: str
    window: tuple[str, str]
    digests: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    size_mb: float


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One arm of the experiment; ``share`` of users in ``[0, 1]``."""

    name: str
    version: str
    share: float


@dataclass(frozen=True, kw_only=True)
class DeploymentView:
    """State of the version and the split of users."""

    version: str
    state: str
    variants: tuple[Variant, ...]

    @property
    def own(self) -> Variant | None:
        """The variant that serves this version."""
        return next((v for v in self.variants if v.version == self.version), None)


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step of the run: how it ended and how long it took."""

    name: str
    status: str
    seconds: float
    cached: bool


@dataclass(frozen=True, kw_only=True)
class RunView:
    """What the page shows of ``run.json``."""

    started: str
    seconds: float
    steps: tuple[StepView, ...]
    packages: tuple[tuple[str, str], ...]


def read_model(model: Path) -> ModelView:
    """The manifest of a model version folder (its digests were checked by evaluate)."""
    value = read_json(model / "manifest.json")
    window = value["training_window"]
    digests = [
        ("definition", value["definition_digest"]),
        ("transform", value["transform_digest"]),
        ("code", value["code"]),
        ("feature service", value["feature_service"]),
        *((name, digest) for name, digest in value["files"].items() if "/" not in name),
    ]
    return ModelView(
        version=value["version"],
        ranker=value["ranker"],
        recipe=value["recipe"],
        created=value["created"],
        window=(str(window.get("start", "")), str(window.get("end", ""))),
        digests=tuple((name, str(digest)) for name, digest in digests if digest),
        packages=tuple(sorted(value["packages"].items())),
        size_mb=sum(f.stat().st_size for f in model.rglob("*") if f.is_file()) / 1e6,
    )


def read_deployment(deployment: Path) -> DeploymentView:
    """The JSON that deploy wrote."""
    value = read_json(deployment)
    return DeploymentView(
        version=value["version"],
        state=value["state"],
        variants=tuple(
            Variant(name=v["name"], version=v["version"], share=float(v["share"]))
            for v in value["variants"]
        ),
    )


def read_run(record: str | Path | None) -> RunView | Missing:
    """Steps, times and packages of a ``run.json``, wherever it lies."""
    data = read_bytes(str(record)) if record else None
    if data is None:
        return Missing(reason="Not part of this run.")
    try:
        value: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise StorageError(f"{record}: not valid JSON ({error}).") from error
    return RunView(
        started=str(value.get("started", "")),
        seconds=float(value.get("seconds", 0)),
        steps=tuple(
            StepView(
                name=step["name"],
                status=step["status"],
                seconds=float(step["seconds"]),
                cached=bool(step["cached"]),
            )
            for step in value["steps"]
            if step["status"] not in ("waiting", "running")
        ),
        packages=tuple(sorted(value.get("packages", {}).items())),
    )
