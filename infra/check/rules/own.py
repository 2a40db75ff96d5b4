"""Names that an installation adds of its own: ``infra/kustomize/own.yaml``, read by the rules.

What the rules do not know they refuse. A name that only your cluster has (a secret, a priority class, a
label of your nodes) is no change of the rules: it stands in this one file.
"""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import Field

from hemix.infra.check.objects import ROOT
from hemix.texts.documents import checked, read
from hemix.texts.frozen import Frozen

FILE = ROOT / "infra" / "kustomize" / "own.yaml"
NAME = "infra/kustomize/own.yaml"


class Own(Frozen):
    """What the file says; all of it empty as shipped."""

    secrets: dict[str, list[str]] = Field(default_factory=dict)
    """Name -> its keys."""
    priority_classes: list[str] = Field(default_factory=list)
    gateway_classes: list[str] = Field(default_factory=list)
    node_labels: list[str] = Field(default_factory=list)
    architectures: list[str] = Field(default_factory=list)
    """Of nodes that our images are built for, beside amd64."""
    images: list[str] = Field(default_factory=list)
    """Repositories, without a tag, of programs that no rule knows."""
    annotations: list[str] = Field(default_factory=list)
    """Keys of annotations and labels that your controllers read."""
    rights: list[str] = Field(default_factory=list)
    """``VERB RESOURCE`` or ``VERB RESOURCE.GROUP``."""
    storage_address: str = "203.0.113.10"
    """Of the object storage outside the cluster, where policies name its network; any, as shipped."""
    changed: list[str] = Field(default_factory=list)
    """``KIND NAME PATH`` of a field that is meant to be other than shipped."""


def mend(key: str, what: str = "it") -> str:
    """How a message ends: where a name of the installation's own is said."""
    return f"if {what} is your own, name it under {key} in {file()}"


_used: Path = FILE
"""The file that is read."""


def use(path: Path | None) -> None:
    """Read the names of an installation from another file; None: from the shipped one."""
    global _used
    _used = path or FILE
    own.cache_clear()


def file() -> str:
    """The file that is read, as messages name it."""
    return NAME if _used == FILE else str(_used)


@functools.cache
def own() -> Own:
    """What this installation adds."""
    return load(_used)


def load(path: Path) -> Own:
    """The names in a file; none when there is no such file.

    Raises:
        DefinitionError: not YAML, a key that is not known, or a value that is no list of names; tells
            every fault with its line and key.
    """
    if not path.exists():
        return Own()
    hint = f"{NAME} of the repository explains every key."
    return checked(Own, read(path, "a list of own names", hint=hint), hint=hint)
