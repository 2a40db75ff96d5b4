"""The replay's own registry, policy and words: the run's experiment, at a share of one's choice."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from hemix.errors import RegistryError
from hemix.features.definition import DatasetDefinition
from hemix.files import atomic_file
from hemix.pipelines.local.folder import RunFolder
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.experiments.design import Design, design_of
from hemix.serving.experiments.layers import Experiments
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.registry import FolderRegistry
from hemix.texts.shown import command


def own_registry(folder: RunFolder, target: Path, *, share: float) -> Path:
    """A registry beside the run's, with the same versions and the challenger at ``share``.

    The run's registry is not touched: a decision about a replay changes nothing live.

    Raises:
        RegistryError: the run has no challenger, or ``share`` is out of range.
    """
    store = open_registry(folder.registry)
    state = store.state()
    if not state.challengers:
        raise RegistryError(
            f"{folder.registry} has no challenger: there is nothing to compare.",
            hint="Deploy a second version, for example: "
            f"{command('hemix', 'run', '--output', folder.location, '--set', 'training.seed=7')}.",
        )
    versions = target / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    for version in (state.champion, *(c.version for c in state.challengers)):
        assert version is not None
        link = versions / version
        if not link.exists():
            try:
                link.symlink_to(store.folder(version).resolve())
            except OSError:  # a file system without links
                shutil.copytree(store.folder(version), link)
    with atomic_file(target / "state.json") as temporary:
        temporary.write_text(state.model_dump_json(indent=2) + "\n")
    FolderRegistry(target).challenge(state.challengers[0].version, share=share, why="replay")
    return target


def design_at(registry: str, layer: str, experiments: Path) -> Design:
    """The experiment that a replay over ``registry`` runs under."""
    layers = Experiments.load(experiments) if experiments.is_file() else Experiments()
    return design_of(layer, open_registry(registry).state(), layers)


def policy_text(definition: DatasetDefinition, requests: int) -> str:
    """The replay's policy: how well the served order agrees with what was logged, task by task.

    Only requests with both kinds of outcomes count in such a metric, and CUPED slows the clock: the
    intervals are made tightest at a tenth of the ``requests``.
    """
    first = definition.tasks[0]
    metrics = [
        {"name": f"{task}_auc", "kind": "auc", "task": task, "margin": None}
        for task in definition.tasks
    ]
    ndcg = {"name": f"{first}_ndcg", "kind": "ndcg", "task": first}
    return yaml.safe_dump(
        {
            "primary": metrics[0],
            "secondary": [*metrics[1:], ndcg],
            "horizon": max(1_000.0, requests / 10),
            # A request's candidates are shown within its day.
            "attribution_hours": 24.0,
            "guardrails": {
                "errors": {"margin": 0.005},
                "latency": {"quantile": 0.99, "margin": 0.5, "slowest_ms": 100.0},
                "calibration": {task: [0.8, 1.25] for task in definition.tasks},
            },
            "undecided": "continue",
        },
        sort_keys=False,
    )


def paragraphs(layer: str) -> tuple[str, ...]:
    """What a replay can show, and what it cannot."""
    what = "versions" if layer == MODEL_LAYER else "orders"
    return (
        "This is a replay. Requests of the log's test window went through the endpoint with the "
        "log's own times, and the endpoint assigned each user to a variant, looked features up, "
        "scored and logged as it does live. The outcomes are those of the log: what users did with "
        "the items that the logging policy had shown them, in its order.",
        "So no variant can change an outcome here, and rates of clicks would be equal by "
        "construction. What differs is the order: the metrics ask how far up each variant puts the "
        "items that were then clicked or watched, among the items of that user's day. As every "
        "candidate was shown, every outcome is known, and as users are assigned by chance, the "
        f"difference between the arms is one between the {what}.",
        "What it cannot show: what users would have done with another order, or with items that were "
        "not shown; how a place on the screen helps an item; and any effect that builds up over "
        "days. The features are as of the last publication and do not move with the replayed days. "
        "Since outcomes do not depend on the variant, scoring every request with both would be "
        "sharper; a replay rehearses the experiment, and shows how long the live one would take.",
        "For the same reason CUPED may use more here than live: beside the time before the window it "
        "knows how well a plain order by popularity does on the user's own requests.",
    )
