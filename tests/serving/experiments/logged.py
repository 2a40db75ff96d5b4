"""Made-up traffic written by the endpoint's own exposure log, and outcomes as clients send them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hemix.models.data.toy import toy_spec
from hemix.models.versions.version import Manifest
from hemix.serving.experiments.assignment import Assigned, Variant, assign, epoch_of, variants_of
from hemix.serving.exposures.log import Exposure, ExposureLog
from hemix.serving.registry.transitions import Challenger, RegistryState

START_MS = 1_651_363_200_000
DAY_MS = 86_400_000


def write_manifest(folder: Path) -> None:
    """What a registry reads of a version before it moves it: the manifest, without any files."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        version=folder.name,
        created="2024-05-01T00:00:00+00:00",
        ranker="hemix",
        recipe="tiny",
        config={},
        spec=toy_spec(),
        definition_digest="",
        feature_service="",
        transform_digest="",
        training_window={},
        code="0",
        metrics={},
        packages={},
        files={},
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def registry_state(share: float = 0.5) -> RegistryState:
    """A champion v1 and a challenger v2."""
    return RegistryState(
        champion="v1",
        challengers=(Challenger(version="v2", share=share),),
        salt="salt",
        champions=("v1",),
        versions={"v1": "champion", "v2": "challenger"},
    )


def exposure(
    request_id: str,
    user: int,
    *,
    time_ms: int = START_MS,
    variant: Variant | None = None,
    epoch: str = "",
    scores: Any = (0.5, 0.4, 0.3),
    **more: Any,
) -> Exposure:
    """One exposure of items 1, 2, 3; the variant is the one that :func:`registry_state` gives."""
    arms = variants_of(registry_state())
    chosen = variant or assign(arms, salt="salt", user_id=user)
    assigned = Assigned(layer="model", variant=chosen.name, epoch=epoch or epoch_of(arms, "salt"))
    values: dict[str, Any] = {
        "latency_ms": 5.0,
        "item_ids": [1, 2, 3],
        "scores": {"click": np.array(scores, np.float32)},
        **more,
    }
    return Exposure(
        request_id=request_id,
        user_id=user,
        request_ms=time_ms,
        variant=chosen.name,
        version=chosen.version,
        assigned=(assigned,),
        **values,
    )


def write_exposures(folder: Path | str, exposures: list[Exposure]) -> None:
    """Through the real log."""
    log = ExposureLog(folder, flush_s=0.05)
    for number, entry in enumerate(exposures, start=1):
        log.append(entry)
        if number % 5_000 == 0:  # its queue holds 10,000
            while log._queue:
                time.sleep(0.01)
    log.close()


def write_outcomes(path: Path, rows: list[tuple[str, Any, str, float, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("request_id", "item_id", "task", "value", "time_ms")
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))


@dataclass(frozen=True)
class World:
    """Users who come on several days; the challenger's clicks are ``lift`` more likely."""

    users: int
    lift: float
    seed: int = 0

    def write(self, root: Path, *, before_days: int = 0) -> None:
        """exposures/, outcomes/ and registry/ below ``root``."""
        rng = np.random.default_rng(self.seed)
        arms = variants_of(registry_state())
        rate = rng.beta(4, 5, self.users)
        exposures, outcomes = [], []
        for user in range(self.users):
            chosen = assign(arms, salt="salt", user_id=user)
            for visit in range(-before_days, 1 + rng.poisson(1.5)):
                time_ms = START_MS + int((visit + rng.random()) * DAY_MS)
                request = f"r{user}-{visit}"
                old = visit < 0
                higher = 1 + self.lift * (chosen.name == "challenger" and not old)
                exposures.append(
                    exposure(
                        request,
                        user,
                        time_ms=time_ms,
                        variant=arms[0] if old else chosen,
                        epoch="earlier" if old else "",
                        scores=(rate[user],) * 3,
                        latency_ms=float(rng.gamma(4, 2)),
                    )
                )
                clicks = rng.random(3) < rate[user] * higher
                outcomes += [
                    (request, item, "click", float(click), time_ms + 1_000)
                    for item, click in zip((1, 2, 3), clicks, strict=True)
                ]
        exposures.sort(key=lambda entry: entry.request_ms)
        write_exposures(root / "exposures", exposures)
        write_outcomes(root / "outcomes" / "part-0.jsonl", outcomes)
        (root / "registry").mkdir(parents=True, exist_ok=True)
        (root / "registry" / "state.json").write_text(registry_state().model_dump_json())
        for version in registry_state().versions:
            write_manifest(root / "registry" / "versions" / version)
