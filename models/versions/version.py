"""Model version folders: ``model.safetensors``, ``manifest.json`` and ``transform/``.

A version that was trained here also holds ``eager.parquet`` (:mod:`hemix.models.versions.reference_scores`).

The manifest names the SHA-256 of every other file. Nothing is read before all of them agree, and
nothing is ever unpickled.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import hemix
from hemix.errors import ModelVersionError
from hemix.files import atomic_folder, digest_of, read_json, sha256_folder, write_json
from hemix.models.rankers.base import Ranker
from hemix.models.training.objectives.auxiliary import Auxiliary
from hemix.models.training.objectives.objective import Objective
from hemix.models.training.recipes import Recipe
from hemix.models.training.warm_start import WarmStart
from hemix.models.versions import zero_rows
from hemix.models.versions.contents import check_length, check_names, digests, read_bounded
from hemix.models.versions.files import REFERENCE_SCORES, SIGNATURE
from hemix.spec import FeatureSpec
from hemix.texts.frozen import Frozen, parse

WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"
TRANSFORM = "transform"
PACKAGES = ("torch", "numpy", "pyarrow", "safetensors", "tensorflow", "tensorflow-transform")


class Manifest(Frozen):
    """``manifest.json``; ``config`` is the whole recipe, ``files`` maps names to SHA-256.

    ``warm_start``: the version whose weights the training began with.
    """

    version: str
    created: str
    ranker: str
    recipe: str
    config: dict[str, Any]
    spec: FeatureSpec
    definition_digest: str
    feature_service: str
    transform_digest: str
    training_window: dict[str, str]
    code: str
    metrics: dict[str, float]
    packages: dict[str, str]
    files: dict[str, str]
    warm_start: WarmStart | None = None


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A verified version: the ranker in evaluation mode, its manifest, its transform folder."""

    folder: Path
    manifest: Manifest
    ranker: Ranker

    @property
    def transform(self) -> Path:
        return self.folder / TRANSFORM


def write(
    folder: Path,
    *,
    ranker: Ranker,
    recipe: Recipe,
    transform: Path,
    version: str,
    feature_service: str,
    training_window: Mapping[str, str],
    metrics: Mapping[str, float],
    eager: pa.Table | None = None,
    warm_start: WarmStart | None = None,
) -> Manifest:
    """Write ``ranker`` as a version folder, whole or not at all.

    Args:
        folder: the version folder.
        ranker: the trained ranker.
        recipe: by which it was trained.
        transform: the transform artifact; copied in.
        version: its name.
        feature_service: the Feast feature service that it reads.
        training_window: ``start`` and ``end`` of the training rows, ISO 8601.
        metrics: of the validation rows.
        eager: scores from before the export
            (:func:`hemix.models.versions.reference_scores.eager_scores`).
        warm_start: where the first weights came from; None: new weights.

    Raises:
        StorageError: the folder cannot be written.
    """
    with atomic_folder(folder, durable=True) as temporary:
        shutil.copytree(transform, temporary / TRANSFORM)
        weights = {name: value.cpu().contiguous() for name, value in _kept(ranker).items()}
        save_file(zero_rows.packed(weights, ranker.table_weights()), temporary / WEIGHTS)
        if eager is not None:
            pq.write_table(eager, temporary / REFERENCE_SCORES)
        definition = transform / "definition.json"
        manifest = Manifest(
            version=version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            ranker=recipe.ranker,
            recipe=recipe.name,
            config=recipe.model_dump(mode="json"),
            spec=ranker.spec,
            definition_digest=digest_of(read_json(definition)) if definition.is_file() else "",
            feature_service=feature_service,
            transform_digest=digest_of(sha256_folder(transform)),
            training_window=dict(training_window),
            code=hemix.__version__,
            metrics=dict(metrics),
            packages=_packages(),
            files=sha256_folder(temporary),
            warm_start=warm_start,
        )
        write_json(temporary / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, nothing verified.

    Raises:
        ModelVersionError: it is missing, not a manifest, or names files outside the folder.
    """
    path = folder / MANIFEST
    return parse_manifest(read_bounded(path), str(path))


def parse_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in ``data``; errors of :func:`read_manifest`, which name ``where``."""
    check_length(len(data), where)
    manifest = parse(Manifest, data, where=where, what="a manifest", error=ModelVersionError)
    check_names(manifest.files, where)
    return manifest


def verify(folder: Path) -> Manifest:
    """Check that the folder holds exactly the files of its manifest, unchanged.

    Raises:
        ModelVersionError: a file is missing, added, changed, a link, or cannot be read; the message
            names it.
    """
    manifest = read_manifest(folder)
    hint = "Do not serve this folder: take it again from where it was made."
    found = digests(folder)
    found.pop(MANIFEST, None)
    found.pop(SIGNATURE, None)
    for name, digest in manifest.files.items():
        if name not in found:
            raise ModelVersionError(f"{folder / name}: the file is missing.", hint=hint)
        if found[name] != digest:
            raise ModelVersionError(
                f"{folder / name}: the file is not the one its manifest names (SHA-256 differs).",
                hint=hint,
            )
    if extra := sorted(set(found) - set(manifest.files)):
        raise ModelVersionError(f"{folder / extra[0]}: the manifest names no such file.", hint=hint)
    return manifest


def load(folder: Path) -> ModelVersion:
    """Verify every digest, then read the weights.

    Raises:
        ModelVersionError: a file is missing, changed or does not fit the configuration.
    """
    manifest = verify(folder)
    recipe = Recipe.parse(manifest.config)
    ranker = recipe.build(manifest.spec)
    if isinstance(ranker.objective, Objective):
        ranker.objective.leave_training()
    path = folder / WEIGHTS
    try:
        shapes = {name: value.shape for name, value in ranker.state_dict().items()}
        ranker.load_state_dict(zero_rows.whole(load_file(path), shapes))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelVersionError(
            f"{path}: the weights do not fit the manifest ({error})."
        ) from error
    ranker.eval()
    return ModelVersion(folder=folder, manifest=manifest, ranker=ranker)


def _kept(ranker: Ranker) -> dict[str, Tensor]:
    """The weights that a version holds: all but those of training alone."""
    objective = ranker.objective
    terms = objective.auxiliary.items() if isinstance(objective, Objective) else ()
    left_out = tuple(
        f"objective.auxiliary.{name}."
        for name, term in terms
        if isinstance(term, Auxiliary) and term.training_only
    )
    state: dict[str, Tensor] = ranker.state_dict()
    return {n: w for n, w in state.items() if not n.startswith(left_out)}


def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # training needs no transform library
    return versions
