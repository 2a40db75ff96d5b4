"""The published schemas, read once: Kubernetes' own kinds, and custom ones by their definitions.

The API server of ``server.py`` says more of a custom resource (CEL rules); this says the most of it without
a server, in milliseconds: unknown fields, types, enums, patterns, bounds, what is required.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import yaml

from hemix.infra.check.objects import LOADER, ROOT, Manifest

VERSION = "1.31"
"""Of the schemas; the newest that the pinned kubernetes-validate holds."""
DEFINITIONS = ROOT.parent / "shared" / "kubernetes" / "crds"


def core_problems(manifest: Manifest) -> tuple[str, ...]:
    """Why Kubernetes' schema of the object's kind refuses it; empty when it does not."""
    kind, version = str(manifest.get("kind")), str(manifest.get("apiVersion"))
    try:
        found = _core(kind, version)
    except FileNotFoundError:
        return (f"{version} {kind}: Kubernetes has no such type",)
    return _told(found, manifest)


def custom_problems(manifest: Manifest) -> tuple[str, ...]:
    """Why the definition of a custom resource refuses it; empty too where its definition is not here."""
    kind, version = str(manifest.get("kind")), str(manifest.get("apiVersion"))
    known = _kinds()
    if kind not in known:
        return ()
    found = _custom(known[kind], version)
    if found is None:
        return (f"{version} {kind}: its definition has no such version",)
    return _told(found, manifest)


def missing() -> str:
    """Why custom resources are not looked at; empty when they are."""
    return "" if _kinds() else "../shared/kubernetes/crds is not on this machine"


def _told(validator: Any, manifest: Manifest) -> tuple[str, ...]:
    plain = json.loads(json.dumps(manifest, default=str))
    error = next(iter(validator.iter_errors(plain)), None)
    if error is None:
        return ()
    return (f"{'.'.join(map(str, error.absolute_path)) or 'object'}: {error.message[:300]}",)


def _validator(schema: Any, **options: Any) -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    return Draft202012Validator(schema, **options)


@functools.cache
def _core(kind: str, version: str) -> Any:
    """A validator of one of Kubernetes' kinds, strict: unknown fields are refused.

    Raises:
        FileNotFoundError: there is no such kind.
    """
    from referencing import Registry, Resource

    folder = _folder()
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    schema = json.loads((folder / f"{kind.lower()}-{group}.json").read_text())
    definitions = Resource.from_contents(_definitions())
    registry: Any = definitions @ (Resource.from_contents(schema) @ Registry())
    return _validator(schema, registry=registry)


@functools.cache
def _folder() -> Path:
    import kubernetes_validate

    schemas = Path(str(kubernetes_validate.__file__)).parent / "kubernetes-json-schema"
    (found,) = schemas.glob(f"v{VERSION}*-local-strict")
    return found


@functools.cache
def _definitions() -> Any:
    return json.loads((_folder() / "_definitions.json").read_text())


@functools.cache
def _kinds() -> dict[str, Path]:
    """Kind -> the file of its definition, from its first lines."""
    found = {}
    for path in sorted(DEFINITIONS.glob("*.yaml")):
        with path.open() as lines:
            for line in lines:
                match = re.match(r"^    kind: (\w+)$", line)
                if match:
                    found[match[1]] = path
                    break
    return found


@functools.cache
def _custom(path: Path, version: str) -> Any:
    definition = yaml.load(path.read_text(), Loader=LOADER)
    group, _, wanted = version.rpartition("/")
    for one in definition["spec"]["versions"]:
        if (
            one["name"] == wanted
            and one.get("served", True)
            and definition["spec"]["group"] == group
        ):
            schema = _strict(one["schema"]["openAPIV3Schema"])
            schema["properties"].update({"metadata": {"type": "object"}, "status": {}})
            return _validator(schema)
    return None


def _strict(schema: Any) -> Any:
    """OpenAPI's structural schema as JSON Schema: unknown fields refused, null and int-or-string allowed."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _strict(inner) for name, inner in value.items()}
        elif key in ("description", "default", "format", "nullable"):
            continue
        else:
            found[key] = _strict(value)
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
        found.pop("anyOf", None)
        found["type"] = ["integer", "string"]
    # Branches of anyOf and the like say nothing of the other fields: only an object's own type closes it.
    closed = found.get("type") == "object" and "properties" in found
    if closed and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    if found.get("x-kubernetes-embedded-resource"):
        found.pop("additionalProperties", None)
    return found
