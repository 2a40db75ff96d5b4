"""What a run's parameters say beside the cluster settings: one place for images, no idle GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from hemix.errors import DefinitionError
from hemix.pipelines.retention import Retention
from hemix.texts.documents import parse

if TYPE_CHECKING:
    from hemix.components.steps import Image
    from hemix.pipelines.compiler.cluster_settings import ClusterSettings

_IMAGE_OF: dict[str, Image] = {"cluster": "serve", "training_cluster": "train"}
"""Parameters that hold settings with an ``image``, and which image that is."""


def agreed(parameters: dict[str, Any], settings: ClusterSettings) -> dict[str, Any]:
    """``parameters`` whose settings name the images of the cluster settings.

    Settings without ``image`` get it, so that a registry and its digests stand in one file.

    Raises:
        DefinitionError: they name another one; or a training on several nodes would keep a GPU idle
            in the step that waits for it.
    """
    found = dict(parameters)
    for name, image in _IMAGE_OF.items():
        if text := found.get(name):
            found[name] = _with_image(str(text), name, settings.images.reference(image))
    gpus = settings.steps["train"].gpu.count
    if found.get("training_cluster") and gpus:
        raise DefinitionError(
            f"The step train only waits while the nodes of training_cluster train, and would hold "
            f"{gpus} GPU meanwhile.",
            hint="Cluster settings: steps: {train: {gpu: {count: 0}}}.",
        )
    return found


def kept_long_enough(policy: str, settings: ClusterSettings) -> None:
    """A retention policy lets nothing go that a step may still read.

    Raises:
        DefinitionError: a step may take longer, with all its attempts, than the policy keeps things.
    """
    longest = max(step.retries.window_s(step.timeout) for step in settings.steps.values())
    Retention.parse(policy).require_longer_than(longest)


def _with_image(text: str, name: str, image: str) -> str:
    value = dict(parse(text, "a settings file", where=name).value)
    if "image" not in value:
        return yaml.safe_dump({**value, "image": image}, sort_keys=False)
    if value["image"] != image:
        raise DefinitionError(
            f"{name}: image {value['image']} is not the one of the cluster settings, {image}.",
            hint=f"Leave image out of {name}: it is taken from images of the cluster settings.",
        )
    return text
