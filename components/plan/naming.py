"""What a version is called, and which part of a definition its events depend on."""

from __future__ import annotations

from collections.abc import Mapping

from features.definition import NO_SPLIT, DatasetDefinition
from hemix.files import digest_of


def version_name(
    definition: DatasetDefinition,
    recipe: str,
    overrides: Mapping[str, str],
    source_fingerprint: str,
    revision: str,
) -> str:
    """A hash of all that makes a version: definition (not its place), recipe, the log's files, code."""
    content = definition.model_dump(mode="json", exclude={"root"})
    parts = [content, recipe, dict(overrides), source_fingerprint, revision]
    return "v" + digest_of(parts, length=12)


def feature_service(version: str) -> str:
    """Name of the Feast service of a version."""
    return f"ranker_{version}"


def without_split(definition: DatasetDefinition) -> DatasetDefinition:
    """The definition with a fixed split, for the steps that the split does not concern."""
    return DatasetDefinition.parse({**definition.model_dump(mode="json"), "split": NO_SPLIT})
