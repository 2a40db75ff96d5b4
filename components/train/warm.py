"""The weights a training begins with, when the recipe wants those of an earlier version."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hemix import storage
from hemix.features.transform.graph import TransformGraph
from hemix.features.transform.transform_contents import number_scalings, vocabulary_values
from hemix.files import sha256_file
from hemix.progress import say
from hemix.serving.registry.signing import require_signed
from hemix.spec import FeatureSpec

if TYPE_CHECKING:
    from torch import Tensor

    from hemix.models.training.recipes import Recipe
    from hemix.models.training.warm_start import TransformContents, WarmStart

CHAMPION = "champion"
NAME = "initial.safetensors"


@dataclass(frozen=True, kw_only=True)
class Warm:
    """Weights by parameter name, and where they came from."""

    weights: Mapping[str, Tensor]
    source: WarmStart


def warm_weights(recipe: Recipe, spec: FeatureSpec, transform: Path, champion: str) -> Warm | None:
    """What ``training.warm_start`` asks for; None for new weights.

    ``champion``: location of the champion's folder. Without one, the first version of a registry,
    the training begins with new weights and says so.

    Raises:
        ModelVersionError: the version is missing, changed, not signed where it must be, or does not
            fit the recipe or the fields.
    """
    wanted = recipe.training.warm_start
    if not wanted:
        return None
    if wanted == CHAMPION and not champion:
        say("training.warm_start=champion: there is no champion yet; starting with new weights")
        return None
    import torch

    from hemix.models.training.warm_start import WarmStart, move, require_fit
    from hemix.models.versions.version import WEIGHTS, load

    folder = storage.local_copy(champion if wanted == CHAMPION else wanted)
    require_signed(folder)
    old = load(folder)
    # What is new is drawn from the training's own seed, whatever was drawn before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        new = recipe.build(spec)
    require_fit(old.ranker, new)  # before the transforms are read, which takes seconds
    moved = move(
        old.ranker,
        new,
        contents_of(old.transform),
        contents_of(transform),
        new_rows=recipe.training.warm_rows,
    )
    source = WarmStart(
        version=old.manifest.version,
        weights=sha256_file(folder / WEIGHTS),
        new_rows=recipe.training.warm_rows,
        rows=moved.rows,
        new=moved.new,
        fresh=tuple(moved.fresh),
    )
    _tell(recipe, old.manifest.config, source)
    return Warm(weights=moved.weights, source=source)


def _tell(recipe: Recipe, config: Mapping[str, object], source: WarmStart) -> None:
    rows, new = sum(source.rows.values()), sum(source.new.values())
    say(
        f"begins with the weights of {source.version}: {rows:,} rows of tables kept, {new:,} new "
        f"({source.new_rows})" + (f"; fresh: {', '.join(source.fresh)}" if source.fresh else "")
    )
    before, now = config.get("model"), recipe.model.model_dump(mode="json")
    if isinstance(before, dict):
        changed = [name for name in now if name in before and before[name] != now[name]]
        if changed:
            say(f"the recipe differs from that of {source.version} in {', '.join(changed)}")


def contents_of(transform: Path) -> TransformContents:
    """What the ids and numbers of a transform artifact stand for.

    Raises:
        StorageError: the artifact is damaged.
    """
    from hemix.models.training.warm_start import Scale, TransformContents

    graph = TransformGraph.load(transform)
    scalings = number_scalings(graph)
    return TransformContents(
        spec=graph.spec,
        values=vocabulary_values(graph),
        scales={
            name: Scale(mean=s.mean, deviation=s.deviation, edges=s.edges, log=s.log)
            for name, s in scalings.items()
        },
    )


# ---- for trainings in several processes -------------------------------------------------------


def write_weights(warm: Warm | None, checkpoints: str) -> str:
    """Put the weights beside the checkpoints, where every process finds them; empty for none."""
    if warm is None:
        return ""
    from safetensors.torch import save_file

    place = storage.join(checkpoints, NAME)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / NAME
        save_file({name: value.contiguous() for name, value in warm.weights.items()}, file)
        storage.write_bytes(place, file.read_bytes())
    return place


def read_weights(place: str) -> Mapping[str, Tensor] | None:
    """The weights of :func:`write_weights`; None for an empty place."""
    if not place:
        return None
    from safetensors.torch import load

    data = storage.read_bytes(place)
    assert data is not None, f"{place} was written before the processes were started"
    return load(data)
