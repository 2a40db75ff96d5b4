"""A training in several processes, wherever they run: here, or on the nodes of a cluster."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from hemix.components.train.cluster_settings import TrainCluster
from hemix.errors import DefinitionError

if TYPE_CHECKING:
    from hemix.models.training.recipes import Recipe


def train_together(
    recipe: Recipe,
    *,
    spec: Path,
    train: Path,
    validation: Path,
    checkpoints: str,
    version: str,
    cluster: str,
    initial: str = "",
) -> None:
    """Train in ``recipe.training.world`` processes; the checkpoint then holds the end of it.

    Args:
        recipe: what is trained, and in how many processes.
        spec: ``spec.json`` of the transform.
        train: folder of the training rows.
        validation: folder of the validation rows.
        checkpoints: folder or ``s3://`` location.
        version: name of the version.
        cluster: settings of a training on several nodes, YAML or JSON; empty for one node.
        initial: safetensors file of the weights to begin with; empty: new weights.

    Raises:
        DefinitionError: several nodes, and no settings of a cluster.
        HemixError: what ended the training.
    """
    from hemix.components.train.worker import Work

    work = Work(
        recipe=recipe.model_dump(mode="json"),
        spec=str(spec),
        train=str(train),
        validation=str(validation),
        checkpoints=checkpoints,
        attempt=uuid.uuid4().hex[:12],
        initial=initial,
    )
    if recipe.training.nodes == 1:
        from hemix.components.train.torchrun import run_processes

        run_processes(work, recipe.training.processes)
        return
    if not cluster:
        raise DefinitionError(
            f"training.nodes={recipe.training.nodes} needs a cluster, and none is set.",
            hint="On one machine set training.processes; on a cluster give the train step the "
            "settings of its TrainJob (docs/operator/scaling.md).",
        )
    from hemix.components.train.nodes import run_nodes

    run_nodes(work, recipe.training, TrainCluster.parse(cluster), version)
