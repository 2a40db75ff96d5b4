"""Patches of an overlay whose target names no object: kustomize leaves them out without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from hemix.infra.check.objects import LOADER, Manifest, Object
from hemix.infra.check.users.settings import HOME

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SUFFIX = re.compile(r"-(?=[a-z]*[0-9])[a-z0-9]{10}$")
"""Of the names that kustomize makes of contents."""
_DELETES = re.compile(r"\$patch[\"']?\s*:\s*[\"']?delete")


def kustomization(folder: Path) -> Path | None:
    """The folder's kustomization file; None when it has none."""
    return next((folder / name for name in _FILES if (folder / name).is_file()), None)


def problems(folder: Path, objects: Sequence[Object]) -> list[str]:
    """Targets of the overlay's own patches, and of its components', that no object answers to.

    Args:
        folder: of the overlay.
        objects: what kustomize made of it.
    """
    manifests = [item.manifest for item in objects]
    patches = list(_patches(folder))
    gone = [target for _, target, removes in patches if removes]
    found = []
    for file, target, removes in patches:
        if removes or target in gone or any(_means(target, one) for one in manifests):
            continue
        said = ", ".join(f"{key}: {value}" for key, value in target.items())
        found.append(
            f"{file}: patches: the target {{{said}}} names no object, so its patch does nothing; "
            f"{_instead(target, manifests)}"
        )
    return found


def _patches(folder: Path) -> Iterator[tuple[Path, Manifest, bool]]:
    """``(file, target, whether it takes the object away)``."""
    file = kustomization(folder)
    if file is None:
        return
    read: Any = yaml.load(file.read_text(), Loader=LOADER)
    for patch in (read or {}).get("patches") or ():
        text = str(patch.get("patch") or "")
        if patch.get("path"):
            text = (folder / str(patch["path"])).read_text()
        if patch.get("target"):  # without one kustomize itself says that nothing is meant
            yield file, patch["target"], bool(_DELETES.search(text))
    for name in (read or {}).get("components") or ():
        if (folder / str(name)).is_dir():
            yield from _patches((folder / str(name)).resolve())


def _means(target: Manifest, manifest: Manifest) -> bool:
    """As kustomize selects: whole regular expressions, labels and annotations by equality."""
    metadata = manifest["metadata"]
    group, _, version = str(manifest["apiVersion"]).rpartition("/")
    name = str(metadata.get("name"))
    has = {
        "group": {group},
        "version": {version},
        "kind": {manifest["kind"]},
        "name": {name, _SUFFIX.sub("", name)},
        "namespace": {str(metadata.get("namespace")), HOME},
    }
    for key, values in has.items():
        wanted = target.get(key)
        if wanted and not any(re.fullmatch(str(wanted), value) for value in values):
            return False
    for key, side in (("labelSelector", "labels"), ("annotationSelector", "annotations")):
        words = dict(re.findall(r"([\w./-]+)\s*==?\s*([\w.-]+)", str(target.get(key) or "")))
        if not words.items() <= (metadata.get(side) or {}).items():
            return False
    return True


def _instead(target: Manifest, manifests: Sequence[Manifest]) -> str:
    kind = target.get("kind")
    names = sorted({str(m["metadata"].get("name")) for m in manifests if m["kind"] == kind})
    if names:
        return f"objects of kind {kind} are {', '.join(names[:8])}"
    return f"the overlay has no object of kind {kind}" if kind else "name its kind and name"
