"""In which file of the repository an object is written."""

from __future__ import annotations

import functools
import re

import yaml

from hemix.infra.check.objects import LOADER, ROOT

_OBJECT = re.compile(r"([A-Z]\w+) ([a-z0-9][\w.-]*)(?=[ :])")
_SUFFIX = re.compile(r"-(?=[a-z]*[0-9])[a-z0-9]{10}$")
_DEPLOYED = ("InferenceService", "ServingRuntime", "ScaledObject", "HTTPRoute")
_PARTS = {"ResourceQuota": "hemix", "LimitRange": "hemix"}


@functools.cache
def _written() -> dict[str, str]:
    """``Kind name`` -> the file below the repository's root."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "infra").rglob("*.yaml")):
        if "rules" in path.parts or "test" in path.name:
            continue
        place = path.relative_to(ROOT).as_posix()
        for document in yaml.load_all(path.read_text(), Loader=LOADER):
            if not isinstance(document, dict) or "kind" not in document:
                continue
            for made in document.get("configMapGenerator") or ():
                files = [f"{path.parent.relative_to(ROOT).as_posix()}/{f}" for f in made.get("files") or ()]  # fmt: skip
                found[f"ConfigMap {made.get('name')}"] = " or ".join(files) or place
            name = (document.get("metadata") or {}).get("name")
            if name and "kustomize.config" not in str(document.get("apiVersion")):
                key = f"{document['kind']} {name}"
                if key in found and "components" in path.parts:  # either of two components
                    found[key] = f"{found[key]} or {place}"
                found.setdefault(key, place)
    return found


def located(problem: str) -> str:
    """A problem with the file of the object that it begins with, where one is known."""
    match = _OBJECT.match(problem)
    kind, name = match.groups() if match else (problem.partition(":")[0], None)
    if name is None:
        file = _written().get(f"{kind} {_PARTS.get(kind)}")
    elif kind in _DEPLOYED:
        file = "hemix deploy"
    elif kind == "TrainJob":
        file = "the train step"
    else:
        file = _written().get(f"{kind} {_SUFFIX.sub('', name)}")
    return f"{file}: {problem}" if file else problem
