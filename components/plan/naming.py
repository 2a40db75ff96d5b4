"""What a version is called, and which part of a definition its events depend on."""

from __future__ import annotations

from collections.abc import Mapping

from features.definition import DatasetDefinition
from hemix.files import digest_of

# Any fixed split will do: the events and examples of a log are the same for all of them.
_NO_SPLIT = {
    "train": {"start": "1970-01-01", "end": "1970-01-02"},
    "test": {"start": "1970-01-02", "end": "1970-01-03"},
}


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
    return DatasetDefinition.parse({**definition.model_dump(mode="json"), "split": _NO_SPLIT})
