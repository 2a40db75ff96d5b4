"""A registry on S3: versions uploaded whole, ``state.json`` replaced on condition that it is unchanged.

There is no lock. Who wants to change the state reads it with its tag, works out the next one (a pure
function) and writes it if the tag is still the same; when another was faster he starts again from
what that one wrote.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hemix import storage
from hemix.errors import ModelVersionError, RegistryError, StorageError
from hemix.files import read_json
from hemix.serving.registry.registry import (
    STATE,
    Registry,
    check_name,
    require_named,
    require_same,
)
from hemix.serving.registry.transitions import RegistryState, parse_state, state_bytes

if TYPE_CHECKING:
    from hemix.models.versions.version import Manifest

TRIES = 40
"""Times that a change is tried when others change the state at the same time."""


class S3Registry(Registry):
    """The registry at ``s3://bucket/prefix``; its first file is written by the first :meth:`add`."""

    @property
    def state_location(self) -> str:
        return storage.join(self.location, STATE)

    def exists(self) -> bool:
        return storage.read_bytes(self.state_location) is not None

    def state(self) -> RegistryState:
        return parse_state(storage.read_bytes(self.state_location), self.state_location)

    def folder(self, version: str) -> Path:
        """A verified copy in this machine's cache, brought when it is not there yet."""
        self.state().state_of(version)
        self.manifest(version)
        return storage.local_copy(self.location_of(version))

    def manifest(self, version: str) -> Manifest:
        from hemix.models.versions.version import MANIFEST, parse_manifest

        check_name(version)
        where = storage.join(self.location_of(version), MANIFEST)
        data = storage.read_bytes(where)
        if data is None:
            raise ModelVersionError(f"{where} is missing. This is not a model version.")
        return require_named(parse_manifest(data, where), version, self.location_of(version))

    def _change(self, move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        for attempt in range(TRIES):
            stored = storage.fetch(self.state_location)
            before = parse_state(stored.data if stored else None, self.state_location)
            after = move(before)
            if after == before:
                return after
            tag = stored.etag if stored else storage.ABSENT
            try:
                storage.write_bytes(self.state_location, state_bytes(after), if_match=tag)
            except storage.Conflict:
                time.sleep(random.uniform(0, min(0.02 * 2**attempt, 1.0)))
                continue
            return after
        raise RegistryError(
            f"{self.state_location} is changed all the time: {TRIES} tries were each too late.",
            hint="Stop the other writers and run the command again.",
        )

    def _add(
        self, model: Path, version: str, move: Callable[[RegistryState], RegistryState]
    ) -> RegistryState:
        move(self.state())  # a wrong share is said before a gigabyte is uploaded
        new = dict(read_json(model / "manifest.json")["files"])
        self._upload(model, version, new)

        def added(state: RegistryState) -> RegistryState:
            if version in state.versions:
                require_same(version, new, self.manifest(version).files)
            return move(state)

        return self._change(added)

    def _upload(self, model: Path, version: str, new: dict[str, str]) -> None:
        target = self.location_of(version)
        try:
            if not storage.is_complete(target) and version not in self.state().versions:
                storage.upload(model, target)
            require_same(version, new, self.manifest(version).files)
        except (RegistryError, StorageError):
            if version in self.state().versions:
                raise
            # What an add that was killed left behind; nothing refers to it.
            storage.upload(model, target, replace=True)
