"""What a version is called, and which part of a definition its events depend on."""

from __future__ import annotations

from collections.abc import Mapping

from hemix.features.definition import NO_SPLIT, DatasetDefinition
from hemix.files import digest_of
from hemix.revision import package_versions


def version_name(
    definition: DatasetDefinition,
    recipe: str,
    overrides: Mapping[str, str],
    source_fingerprint: str,
    revision: str,
    machine: Mapping[str, str] | None = None,
) -> str:
    """A hash of all that makes a version.

    Args:
        definition: without its place.
        recipe: name of the recipe.
        overrides: dotted fields of the recipe -> values, among them how many processes train.
        source_fingerprint: of the log's files.
        revision: of the code.
        machine: :func:`this_machine` when the training is here; None where pods of one set of images
            and nodes train.
    """
    content = definition.model_dump(mode="json", exclude={"root"})
    parts: list[object] = [content, recipe, dict(overrides), source_fingerprint, revision]
    if machine is not None:
        parts.append(dict(machine))
    return "v" + digest_of(parts, length=12)


def this_machine() -> dict[str, str]:
    """What of this machine changes the bits of weights that are trained on it.

    Packages; threads, for sums of two threads are rounded otherwise than those of one; the kind of
    processor, for kernels are chosen by it.
    """
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        **package_versions(),
        "threads": str(torch.get_num_threads()),
        "processor": gpu or torch.backends.cpu.get_cpu_capability(),
    }


def feature_service(version: str) -> str:
    """Name of the Feast service of a version."""
    return f"ranker_{version}"


def without_split(definition: DatasetDefinition) -> DatasetDefinition:
    """The definition with a fixed split, for the steps that the split does not concern."""
    return DatasetDefinition.parse({**definition.model_dump(mode="json"), "split": NO_SPLIT})
