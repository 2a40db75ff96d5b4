"""What lies in the store, by folder: how large, and when something in it was written last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hemix import storage
from hemix.storage import MARKS, Listed, join

RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What KFP calls a run."""
EXPOSURES = re.compile(r"(?:.*/)?exposures-(\d{4}-\d{2}-\d{2}T\d{2})[^/]*\.jsonl")
DEPLOYMENT = "deployment"
"""The output of the step deploy, which names the version that its run made."""
ROWS = re.compile(r"(?P<view>[^/]+)/(?P<as_of>\d{8}T\d{12}Z)\.parquet")
"""Offline rows of a view at one instant, below a feature store's folder ``offline``."""
Kind = Literal["run", "version", "checkpoints", "exposures", "features", "job"]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Files below ``location`` that belong together; ``names`` are relative to it."""

    kind: Kind
    name: str
    location: str
    names: tuple[str, ...]
    size: int
    written: datetime

    def older(self, days: int, now: datetime) -> bool:
        """Whether nothing in it was written for ``days``."""
        return now - self.written > timedelta(days=days)


def runs(root: str) -> dict[str, Folder]:
    """Run id -> its artifacts below a pipeline root: ``ROOT/PIPELINE/RUN/...``; else is left alone."""
    return _folders("run", root, storage.listed(root), depth=2, name=RUN)


def deployed(folder: Folder) -> str:
    """The version that a run put into the registry; empty when it came to none."""
    for name in folder.names:
        if name.rsplit("/", 1)[-1] != DEPLOYMENT:
            continue
        try:
            told = json.loads(storage.read_bytes(join(folder.location, name)) or b"")
            return str(told["version"])
        except (ValueError, KeyError, TypeError):
            continue  # another step's output of that name
    return ""


def versions(registry: str) -> dict[str, Folder]:
    """Version -> its folder in a registry, with its completion mark."""
    root = join(registry, "versions")
    listed = storage.listed(root)
    found = _folders("version", root, listed, depth=1)
    for mark in listed:
        version = mark.name.removeprefix(f"{MARKS}/").removesuffix(".json")
        if mark.name.startswith(f"{MARKS}/") and version in found:
            folder = found[version]
            found[version] = Folder(
                kind="version",
                name=version,
                location=folder.location,
                names=(*folder.names, mark.name),
                size=folder.size + mark.size,
                written=max(folder.written, mark.modified),
            )
    return found


def checkpoints(root: str) -> dict[str, Folder]:
    """Version -> its checkpoints, with the inputs that nodes of its training read."""
    return _folders("checkpoints", root, storage.listed(root), depth=1)


def exposures(root: str) -> dict[str, Folder]:
    """Hour (``YYYY-MM-DDTHH``) -> its exposure files."""
    groups: dict[str, list[Listed]] = {}
    for one in storage.listed(root):
        if match := EXPOSURES.fullmatch(one.name):
            groups.setdefault(match[1], []).append(one)
    return {hour: _folder("exposures", hour, root, files) for hour, files in groups.items()}


def superseded(feature_store: str) -> dict[str, Folder]:
    """``VIEW/INSTANT`` -> offline rows of a live feature store that a later publication took the place of.

    What serves is the online store, which a publication fills from the newest rows; those stay.
    """
    root = join(feature_store, "offline")
    found = {m: one for one in storage.listed(root) if (m := ROWS.fullmatch(one.name))}
    newest: dict[str, str] = {}
    for match in found:
        newest[match["view"]] = max(match["as_of"], newest.get(match["view"], ""))
    return {
        f"{match['view']}/{match['as_of']}": _folder("features", one.name, root, [one])
        for match, one in found.items()
        if match["as_of"] != newest[match["view"]]
    }


def _folders(
    kind: Kind,
    root: str,
    listed: Iterable[Listed],
    *,
    depth: int,
    name: re.Pattern[str] | None = None,
) -> dict[str, Folder]:
    groups: dict[str, list[Listed]] = {}
    for one in listed:
        parts = one.name.split("/")
        folder = parts[depth - 1] if len(parts) > depth else ""
        if not folder or folder.startswith(".") or (name and not name.fullmatch(folder)):
            continue
        groups.setdefault(folder, []).append(one)
    return {key: _folder(kind, key, root, files) for key, files in groups.items()}


def _folder(kind: Kind, name: str, root: str, files: list[Listed]) -> Folder:
    return Folder(
        kind=kind,
        name=name,
        location=root,
        names=tuple(one.name for one in files),
        size=sum(one.size for one in files),
        written=max(one.modified for one in files),
    )


def left(folders: Iterable[Folder]) -> Iterator[Folder]:
    """Those of which a new listing still shows a file."""
    by_root: dict[str, set[str]] = {}
    for folder in folders:
        if folder.location not in by_root:
            by_root[folder.location] = {one.name for one in storage.listed(folder.location)}
        if by_root[folder.location] & set(folder.names):
            yield folder
