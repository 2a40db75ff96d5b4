"""Runtimes that are named and not there: without them no pod is made, and nothing else is worth saying."""

from __future__ import annotations

from collections.abc import Iterator

from hemix.infra.check.rules.custom import kserve, trainer
from hemix.infra.check.rules.world import World, title_of


def problems(world: World) -> Iterator[str]:
    """InferenceServices and TrainJobs that KServe and Trainer make no pod of."""
    for manifest in world.of("InferenceService"):
        known = [m["metadata"].get("name") for m in world.of("ServingRuntime")]
        for where, predictor in kserve.predictors(manifest):
            model = predictor.get("model")
            if (
                isinstance(model, dict)
                and kserve.runtime_of(manifest, predictor, world.manifests) is None
            ):
                yield f"{title_of(manifest)}: {where}.model.runtime {model.get('runtime')!r}: there is no such ServingRuntime, only {', '.join(map(str, known)) or 'none'}"
    for manifest in world.of("TrainJob"):
        known = [
            f"{m['kind']} {m['metadata'].get('name')}"
            for k in trainer.RUNTIMES
            for m in world.of(k)
        ]
        if known and trainer.runtime_of(manifest, world.manifests) is None:
            told = (manifest.get("spec") or {}).get("runtimeRef") or {}
            yield f"{title_of(manifest)}: spec.runtimeRef {told.get('kind')} {told.get('name')}: there is none, only {', '.join(known)}"
