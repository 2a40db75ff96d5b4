"""The registry at a location: a folder, or a bucket."""

from __future__ import annotations

from pathlib import Path

from hemix.errors import ModelVersionError, RegistryError
from hemix.serving.registry.registry import STATE, FolderRegistry, Registry
from hemix.serving.registry.s3 import S3Registry
from hemix.storage import is_remote, join


def open_registry(location: str | Path) -> Registry:
    """The registry at a folder or at ``s3://bucket/prefix``; nothing is read yet."""
    if not is_remote(location):
        return FolderRegistry(Path(location))
    return S3Registry(join(location))


def registry_at(location: str | Path) -> Registry:
    """The registry at ``location``, or in ``registry`` below it when that is a run's output."""
    own, inner = open_registry(location), open_registry(join(location, "registry"))
    return inner if not own.exists() and inner.exists() else own


def find_registry(location: str | Path) -> Registry:
    """:func:`registry_at`, when there is one.

    Raises:
        RegistryError: there is none.
    """
    registry = registry_at(location)
    if not registry.exists():
        raise RegistryError(
            f"{location} is not a registry: it holds no {STATE}.",
            hint="Deploy a version first (hemix run), or pass --models DIR.",
        )
    return registry


def require_registry(location: str | Path) -> Registry:
    """A registry that has a champion.

    Raises:
        RegistryError: the location is not a registry, or no version was deployed.
        ModelVersionError: the champion's files are not there, and there was none before it.
    """
    registry = open_registry(location)
    state = registry.state()
    if state.champion is None:
        raise RegistryError(
            f"{location} holds no deployed model version.",
            hint="Run the pipeline first (hemix run), or pass --models DIR.",
        )
    try:
        registry.manifest(state.champion)
    except ModelVersionError as error:
        if set(state.champions) - {state.champion}:
            return registry  # one before it may serve
        raise ModelVersionError(
            f"{registry.location_of(state.champion)} lacks manifest.json.",
            hint="Restore the folder, or roll the version back.",
        ) from error
    return registry
