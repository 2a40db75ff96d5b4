"""Step 7, train: transformed rows and a recipe to a model version and its curves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemix.components.train.checkpoints import CURVES, open_checkpoints
from hemix.components.train.together import train_together
from hemix.components.train.warm import warm_weights, write_weights
from hemix.errors import DataError
from hemix.files import atomic_folder, write_json
from hemix.progress import say
from hemix.spec import FeatureSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from hemix.models.training.recipes import Recipe
    from hemix.models.training.state import Trained

EAGER_ROWS = 4096
"""Test rows from which the pairs of :mod:`hemix.models.versions.reference_scores` are taken."""
MOST_OUTSIDE = 0.05
"""Share of a task's positives that may lie outside the task that it is given."""


def run(
    *,
    transformed: Path,
    transform: Path,
    recipe: str,
    overrides: Mapping[str, str],
    version: str,
    feature_service: str,
    checkpoints: Path | str,
    out_model: Path,
    out_curves: Path,
    champion: str = "",
    cluster: str = "",
) -> None:
    """Train, on a GPU when there is one, and write the version folder and the curves.

    ``training.processes`` and ``training.nodes`` of the recipe say in how many processes: some on
    this machine under torchrun, or on several nodes as a TrainJob.

    Args:
        transformed: the transformed splits.
        transform: the transform artifact; the version holds a copy.
        recipe: name of a recipe, or the text of one.
        overrides: dotted fields of the recipe -> values.
        version: name of the version.
        feature_service: the Feast feature service that it will read.
        checkpoints: folder or ``s3://`` location that is kept between attempts: a training that was
            killed resumes there and ends with the weights it would have had.
        out_model: the version folder.
        out_curves: folder with ``curves.json`` and ``tensorboard/``.
        champion: location of the version that ``training.warm_start=champion`` begins with; empty
            when there is none yet.
        cluster: settings of a training on several nodes (:class:`TrainCluster`), YAML or JSON.

    Raises:
        DefinitionError: no such recipe, an override that does not fit it, or several nodes without
            settings of a cluster.
        ModelVersionError: the version to begin with is not what its manifest says, or does not fit.
        DataError: a split is empty, a task has one class only in the training rows, or one is given
            a task that it does not lie within.
        StorageError: an output cannot be written.
        EnvironmentProblem: processes died again and again, or the cluster refused or failed the job.
    """
    from hemix.models.layers.compiling import load_compiler
    from hemix.models.training.recipes import recipe_of
    from hemix.models.training.suited import suited
    from hemix.models.training.trainer import Trainer
    from hemix.models.versions.version import write

    spec = FeatureSpec.read(transform / "spec.json")
    training, validation = transformed / "train", transformed / "validation"
    chosen = suited(recipe_of(recipe, overrides), spec, training)
    _check_labels(spec, training, chosen.training.given)
    if chosen.training.compile != "none":
        load_compiler()  # before a warm start reads transforms with TensorFlow
    warm = warm_weights(chosen, spec, transform, champion)
    started = time.monotonic()
    if together := chosen.training.world > 1:
        train_together(
            chosen,
            spec=transform / "spec.json",
            train=training,
            validation=validation,
            checkpoints=str(checkpoints),
            version=version,
            cluster=cluster,
            initial=write_weights(warm, str(checkpoints)),
        )
    with open_checkpoints(str(checkpoints)) as place:
        trainer = Trainer(
            chosen,
            spec,
            training,
            validation,
            place.folder,
            saved=place.keep,
            initial=warm.weights if warm else None,
        )
        trained = trainer.finished(time.monotonic() - started) if together else trainer.run()
        with atomic_folder(out_curves) as temporary:
            write_json(temporary / "curves.json", curves(chosen, trained))
            shutil.copytree(place.folder / CURVES, temporary / CURVES)
    write(
        out_model,
        ranker=trained.ranker,
        recipe=chosen,
        transform=transform,
        version=version,
        feature_service=feature_service,
        training_window=_window([training, validation] if chosen.training.refit else [training]),
        metrics=trained.metrics,
        eager=_eager(trained, transformed / "test"),
        warm_start=warm.source if warm else None,
    )
    scores = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    say(f"{chosen.ranker} trained in {trained.seconds:.0f} s: {scores}")


def curves(recipe: Recipe, trained: Trained) -> dict[str, Any]:
    """What ``curves.json`` holds: the loss a few times an epoch, validation AUC and logloss a task."""
    best = trained.state.best
    return {
        "ranker": recipe.ranker,
        "recipe": recipe.name,
        "objective": {k: term.weight for k, term in recipe.training.objective.active().items()},
        "parameters": trained.ranker.parameter_counts(),
        "flops_per_sample": trained.ranker.flops_per_sample(),
        "steps_per_epoch": trained.steps_per_epoch,
        "seconds": trained.seconds,
        "reader_wait": trained.reader_wait,
        "collisions": {name: found.model_dump() for name, found in trained.collisions.items()},
        "zeros": {name: found.model_dump() for name, found in trained.zeros.items()},
        "training": [point.model_dump() for point in trained.state.curve],
        "validation": [point.model_dump() for point in trained.state.validation],
        "best": best.model_dump() if best else None,
    }


def _eager(trained: Trained, test: Path) -> pa.Table | None:
    """What the ranker in memory says of the first test rows, for the gate; None without such rows."""
    import pyarrow.dataset as ds

    from hemix.models.versions.reference_scores import eager_scores

    files = sorted(map(str, test.rglob("*.parquet")))
    rows = ds.dataset(files, format="parquet").head(EAGER_ROWS) if files else None
    return eager_scores(trained.ranker, rows) if rows is not None and rows.num_rows else None


def _check_labels(spec: FeatureSpec, folder: Path, given: Mapping[str, str]) -> None:
    """Both classes in every task, and tasks within others nearly only there; a block at a time."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    columns = {task.name: task.column for task in spec.tasks}
    seen: dict[str, set[int]] = {task: set() for task in columns}
    outside, positives = dict.fromkeys(given, 0), dict.fromkeys(given, 0)
    labels = ds.dataset(sorted(map(str, folder.rglob("*.parquet"))), format="parquet")
    for batch in labels.to_batches(columns=[*columns.values()]):
        for task, column in columns.items():
            seen[task] |= set(pc.unique(batch[column]).to_pylist())
        for task, parent in given.items():
            if {task, parent} <= columns.keys():
                own = pc.equal(batch[columns[task]], 1)
                alone = pc.and_(own, pc.equal(batch[columns[parent]], 0))
                positives[task] += pc.sum(own).as_py() or 0
                outside[task] += pc.sum(alone).as_py() or 0
    for task, values in seen.items():
        if values and values != {0, 1}:
            raise DataError(
                f"The task {task!r} has the labels {sorted(values)} in the training rows; it needs both 0 and 1.",
                hint="Check interactions.labels and the split times of the definition.",
            )
    for task, parent in given.items():
        if outside[task] > MOST_OUTSIDE * positives[task]:
            raise DataError(
                f"training.given: {outside[task]:,} of {positives[task]:,} rows with {task} = 1 have "
                f"{parent} = 0, so {task} is not a task within {parent}.",
                hint=f"Leave {task} out of training.given.",
            )
        if outside[task]:
            say(f"{outside[task]:,} of {positives[task]:,} rows with {task} = 1 have {parent} = 0")


def _window(folders: list[Path]) -> dict[str, str]:
    """First and last event time (UTC, ISO 8601) of the rows that the weights were fitted to."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    paths = [str(path) for folder in folders for path in sorted(folder.rglob("*.parquet"))]
    ends: dict[str, int] = {}
    for batch in ds.dataset(paths, format="parquet").to_batches(columns=["event_time"]):
        if batch.num_rows:
            found = pc.min_max(batch["event_time"].cast("int64")).as_py()
            for name, better in (("min", min), ("max", max)):
                ends[name] = better(ends.get(name, found[name]), found[name])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {
        name: (epoch + timedelta(milliseconds=ends[which])).isoformat(timespec="milliseconds")
        for name, which in (("start", "min"), ("end", "max"))
    }
