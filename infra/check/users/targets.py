"""Patches and images of an overlay that name nothing: kustomize leaves them out without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from hemix.components.steps import PREFIX, Image
from hemix.infra.check.objects import LOADER, Manifest, Object, containers, repository_and_tag
from hemix.infra.check.users.settings import HOME

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SUFFIX = re.compile(r"-(?=[a-z]*[0-9])[a-z0-9]{10}$")
"""Of the names that kustomize makes of contents."""
_OURS = {f"{PREFIX}/{name}" for name in get_args(Image)}
"""The component ``images`` names them whether or not an overlay has what pulls them."""
_DELETES = re.compile(r"\$patch[\"']?\s*:\s*[\"']?delete")


def kustomization(folder: Path) -> Path | None:
    """The folder's kustomization file; None when it has none."""
    return next((folder / name for name in _FILES if (folder / name).is_file()), None)


def problems(folder: Path, objects: Sequence[Object]) -> list[str]:
    """What the overlay's own patches and ``images``, and its components', name and no object has.

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
    pulled = {repository_and_tag(str(c["image"]))[0] for one in manifests for c in containers(one)}
    images = list(_images(folder))
    known = pulled | {str(image["name"]) for _, image in images if image.get("newName")}
    for file, image in images:
        if str(image.get("newName") or image["name"]) not in known and image["name"] not in _OURS:
            found.append(
                f"{file}: images: no container has the image {image['name']}, so nothing is replaced; "
                f"the overlay's images are {', '.join(sorted(pulled)) or 'none'}"
            )
    return found


def _images(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    for file, read in _read(folder):
        for image in read.get("images") or ():
            if isinstance(image, dict) and image.get("name"):
                yield file, image


def _read(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """The overlay's own file, then those of its components."""
    file = kustomization(folder)
    if file is None:
        return
    read: Any = yaml.load(file.read_text(), Loader=LOADER) or {}
    yield file, read
    for name in read.get("components") or ():
        if (folder / str(name)).is_dir():
            yield from _read((folder / str(name)).resolve())


def _patches(folder: Path) -> Iterator[tuple[Path, Manifest, bool]]:
    """``(file, target, whether it takes the object away)``."""
    for file, read in _read(folder):
        for patch in read.get("patches") or ():
            text = str(patch.get("patch") or "")
            if patch.get("path"):
                text = (file.parent / str(patch["path"])).read_text()
            if patch.get("target"):  # without one kustomize itself says that nothing is meant
                yield file, patch["target"], bool(_DELETES.search(text))


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
