"""The part of a live object that is ours: what we applied, read back from ``managedFields``.

What was there before a deployment can so be applied again without a copy of it kept anywhere.
Source: structured-merge-diff's FieldsV1: ``f:name`` a field, ``k:{...}`` the list item with these
keys, ``v:...`` a set's member, ``.`` the thing itself; a field without parts is ours as a whole.
"""

from __future__ import annotations

import json
from typing import Any

from hemix.serving.kubernetes.manifests.names import MANAGER, Manifest


def is_ours(live: Manifest) -> bool:
    """Whether we have applied anything of it."""
    return _fields(live) is not None


def owned(live: Manifest, *, namespaced: bool = True) -> Manifest:
    """The manifest that we applied last, as the object's ``managedFields`` tell it.

    Args:
        live: an object that :func:`is_ours`.
        namespaced: whether the kind of object lies in a namespace.
    """
    fields = _fields(live)
    assert fields is not None
    ours: Manifest = _select(live, fields)
    metadata = {"name": live["metadata"]["name"], **ours.pop("metadata", {})}
    if namespaced and "namespace" in live["metadata"]:
        metadata["namespace"] = live["metadata"]["namespace"]
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": metadata,
        **ours,
    }


def _fields(live: Manifest) -> dict[str, Any] | None:
    for entry in live["metadata"].get("managedFields", ()):
        ours = entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
        if ours and not entry.get("subresource"):
            found: dict[str, Any] = entry["fieldsV1"]
            return found
    return None


def _select(value: Any, fields: dict[str, Any]) -> Any:
    parts = {key: below for key, below in fields.items() if key != "."}
    if not parts:
        return value if not fields else type(value)()
    if isinstance(value, dict):
        return {
            key[2:]: _select(value[key[2:]], below)
            for key, below in parts.items()
            if key.startswith("f:") and key[2:] in value
        }
    found = []
    for key, below in parts.items():
        if key.startswith("k:"):
            wanted = json.loads(key[2:])
            for item in value:
                if all(item.get(name) == expected for name, expected in wanted.items()):
                    found.append({**wanted, **_select(item, below)})
        elif key.startswith("v:") and (member := json.loads(key[2:])) in value:
            found.append(member)
    return found
