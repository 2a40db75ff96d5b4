"""What is checked: every object the repository would put into a cluster, and where it is from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hemix.errors import DefinitionError, EnvironmentProblem

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("local", "dev", "prod", "multi-user", "single-user")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader in C, many times faster, where PyYAML was built with it."""
OTHERS = {"kubeflow"}
"""Namespaces of other programs that our objects may lie in."""
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Object:
    """A manifest and where it is from.

    ``core`` types are Kubernetes' own; others have a custom resource definition.
    """

    source: str
    manifest: Manifest = field(repr=False)

    @property
    def title(self) -> str:
        metadata = self.manifest.get("metadata") or {}
        return f"{self.manifest.get('kind')} {metadata.get('name')}"

    @property
    def core(self) -> bool:
        group = str(self.manifest["apiVersion"]).rpartition("/")[0]
        return "." not in group or group in _CORE_GROUPS


_CORE_GROUPS = {
    "admissionregistration.k8s.io",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
}


def documents(text: str, source: str) -> Iterator[Object]:
    """The objects of a YAML stream.

    Raises:
        DefinitionError: not YAML, or a document that is no object.
    """
    try:
        loaded = list(yaml.load_all(text, Loader=LOADER))
    except yaml.YAMLError as error:
        raise DefinitionError(f"{source}: not YAML ({error}).") from error
    for manifest in loaded:
        if manifest is None:
            continue
        if not isinstance(manifest, dict) or not {"apiVersion", "kind", "metadata"} <= set(
            manifest
        ):
            raise DefinitionError(f"{source}: a document without apiVersion, kind or metadata.")
        yield Object(source, manifest)


def kustomized(folder: Path) -> list[Object]:
    """What ``kubectl kustomize`` makes of a folder.

    Raises:
        DefinitionError: kustomize refuses it; the message is kustomize's own.
        EnvironmentProblem: there is no kubectl.
    """
    source = folder.relative_to(ROOT).as_posix() if folder.is_relative_to(ROOT) else folder.name
    try:
        done = subprocess.run(
            ["kubectl", "kustomize", str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    except FileNotFoundError as error:
        raise EnvironmentProblem(
            "kubectl is not on PATH.", hint="Install it; .ci/run names the packages."
        ) from error
    if done.returncode:
        raise DefinitionError(f"{source}: {done.stderr.strip()}")
    return list(documents(done.stdout, source))


def overlays(root: Path = ROOT) -> list[Object]:
    """The objects of every overlay."""
    folder = root / "infra" / "kustomize" / "overlays"
    return [found for name in OVERLAYS for found in kustomized(folder / name)]


def containers(value: Any) -> Iterator[Manifest]:
    """The containers with an image in a manifest, where kustomize looks for them: at any depth."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key in ("containers", "initContainers") and isinstance(child, list):
                yield from (c for c in child if isinstance(c, dict) and "image" in c)
            else:
                yield from containers(child)
    elif isinstance(value, list):
        for child in value:
            yield from containers(child)


def repository_and_tag(image: str) -> tuple[str, str]:
    """An image's name and its tag, empty where it has none; a digest is left out.

    Example:
        >>> repository_and_tag("registry.example.com:5000/a/b:1.2@sha256:00")
        ('registry.example.com:5000/a/b', '1.2')
    """
    name = image.partition("@")[0]
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")


def duplicates(objects: Iterable[Object]) -> list[str]:
    """Objects of one source that would overwrite each other."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for item in objects:
        metadata = item.manifest["metadata"]
        key = (
            item.source,
            item.manifest["apiVersion"],
            item.manifest["kind"],
            metadata.get("namespace", ""),
            metadata.get("name", ""),
        )
        if key in seen:
            found.append(f"{item.source}: {item.title} is there twice")
        seen.add(key)
    return found
