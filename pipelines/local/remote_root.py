"""A run whose root is on S3: kfp.local works in a scratch folder, what it makes lives at the root.

Each artifact has two addresses: a path below the scratch folder and, with the same tail, a location
below the root. Before a task really runs, the inputs that are not on this machine are brought; after
it, its outputs are uploaded whole, then its cache entry is written, then its log. Cache keys and
entries hold locations, never paths, so that another machine with an empty scratch folder finds them;
a cached step brings nothing. See docs/decisions/0005-runs-on-s3.md.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemix import storage


@dataclass(frozen=True, kw_only=True)
class RemoteRoot:
    """The scratch folder ``root`` and the ``location`` that it stands for."""

    root: Path
    location: str

    def of(self, path: str) -> str:
        """The location of a path below the scratch folder; anything else stays as it is."""
        below = path.removeprefix(f"{self.root}/")
        return path if below == path else storage.join(self.location, below)

    def here(self, location: str) -> str:
        """The path of a location below the root."""
        below = location.removeprefix(f"{self.location}/")
        return location if below == location else str(self.root / below)

    def keep(self, path: Path) -> None:
        """Copy one finished file (a step's log) to the root."""
        if path.is_file():
            storage.write_bytes(self.of(str(path)), path.read_bytes())

    @contextlib.contextmanager
    def installed(self, cache_root: Path) -> Iterator[None]:
        """Make kfp.local bring inputs, keep outputs, and use the root's cache, for the block."""
        from kfp.local import cache, task_dispatcher

        original = task_dispatcher.run_single_task_implementation

        def execute(*, arguments: dict[str, Any], **others: Any) -> tuple[dict[str, Any], Any]:
            for artifact in _artifacts(arguments):
                if not Path(artifact.uri).exists():
                    storage.download(self.of(artifact.uri), Path(artifact.uri))
            outputs, status = original(arguments=arguments, **others)
            if status.name == "SUCCESS":
                for artifact in _artifacts(outputs):
                    storage.upload(Path(artifact.uri), self.of(artifact.uri), replace=True)
            return outputs, status

        task_dispatcher.run_single_task_implementation = execute
        cache._cache_singleton = _root_cache(self, cache_root)
        cache._cache_singleton_root = str(cache_root)
        try:
            yield
        finally:
            task_dispatcher.run_single_task_implementation = original
            cache.reset_local_cache_singleton()


def _root_cache(remote: RemoteRoot, cache_root: Path) -> Any:
    from kfp.local.cache import LocalCache

    class RootCache(LocalCache):
        """kfp.local's cache with its entries below the root's ``cache/``."""

        def compute_key(self, *, arguments: dict[str, Any], **others: Any) -> str:
            return str(super().compute_key(arguments=_moved(arguments, remote.of), **others))

        def get(self, key: str) -> dict[str, Any] | None:
            data = storage.read_bytes(self._entry(key))
            if data is None:
                return None
            found = self._deserialize_outputs(json.loads(data))
            if not all(storage.is_complete(artifact.uri) for artifact in _artifacts(found)):
                return None
            return _moved(found, remote.here)

        def put(self, key: str, outputs: dict[str, Any]) -> None:
            text = json.dumps(self._serialize_outputs(_moved(outputs, remote.of)), indent=1)
            storage.write_bytes(self._entry(key), text.encode())

        def _entry(self, key: str) -> str:
            return storage.join(remote.location, "cache", f"{key}.json")

    return RootCache(str(cache_root))


def _artifacts(values: dict[str, Any]) -> Iterator[Any]:
    from kfp import dsl

    for value in values.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dsl.Artifact):
                yield one


def _moved(values: dict[str, Any], to: Any) -> dict[str, Any]:
    """The values with every artifact at its other address."""
    from kfp import dsl

    def move(value: Any) -> Any:
        if isinstance(value, list):
            return [move(one) for one in value]
        if isinstance(value, dsl.Artifact):
            value = copy.copy(value)
            value.uri = to(value.uri)
        return value

    return {name: move(value) for name, value in values.items()}
