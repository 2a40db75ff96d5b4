"""Good objects made bad, one fault each: a check that lets one of them pass is no check."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hemix.infra.check.objects import LOADER, Manifest, Object, containers

Fault = Callable[[Manifest], bool]
"""Breaks a manifest in place; False when it has no place for this fault."""


def _unknown_field(manifest: Manifest) -> bool:
    if not isinstance(manifest.get("spec"), dict):
        return False
    manifest["spec"]["notAField"] = 1
    return True


def _wrong_type(manifest: Manifest) -> bool:
    for key in ("spec", "data", "rules", "subjects"):
        if key in manifest:
            manifest[key] = "text"
            return True
    return False


def _bad_name(manifest: Manifest) -> bool:
    manifest["metadata"]["name"] = "No_Such Name"
    return True


def _bad_label(manifest: Manifest) -> bool:
    manifest["metadata"].setdefault("labels", {})["app"] = "not a label!"
    return True


def _unpinned(manifest: Manifest) -> bool:
    for container in containers(manifest):
        container["image"] = str(container["image"]).partition(":")[0] + ":latest"
        return True
    return False


def _privileged(manifest: Manifest) -> bool:
    for container in containers(manifest):
        container["securityContext"] = {"privileged": True}
        return True
    return False


def _bad_quantity(manifest: Manifest) -> bool:
    for container in containers(manifest):
        container["resources"] = {"requests": {"memory": "lots"}}
        return True
    return False


FAULTS: dict[str, Fault] = {
    "an unknown field": _unknown_field,
    "a text where a mapping belongs": _wrong_type,
    "a name that is none": _bad_name,
    "a label that is none": _bad_label,
    "an image that is not pinned": _unpinned,
    "a privileged container": _privileged,
    "a quantity that is none": _bad_quantity,
}


def broken(objects: Iterable[Object]) -> Iterator[Object]:
    """Each fault in each kind of object that has a place for it."""
    done: set[tuple[str, str]] = set()
    for item in objects:
        for fault, damage in FAULTS.items():
            kind = f"{item.manifest['apiVersion']} {item.manifest['kind']}"
            if (kind, fault) in done:
                continue
            manifest = copy.deepcopy(item.manifest)
            if damage(manifest):
                done.add((kind, fault))
                yield Object(f"{item.title} with {fault}", manifest)


def fault_of(title: str) -> str:
    """The fault in a title that :func:`broken` made."""
    return title.rpartition(" with ")[2]


def broken_tokens(item: Object) -> Iterator[Object]:
    """A PodDefault's token for another audience, in another place, for nobody, or half there."""

    def with_(fault: str, path: tuple[str | int, ...], value: Any) -> Object:
        manifest = copy.deepcopy(item.manifest)
        place: Any = manifest["spec"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return Object(f"{item.title} with {fault}", manifest)

    token = ("volumes", 0, "projected", "sources", 0, "serviceAccountToken")
    yield with_("a token for another audience", (*token, "audience"), "sts.amazonaws.com")
    yield with_("a token elsewhere", ("volumeMounts", 0, "mountPath"), "/token")
    yield with_("a path that says otherwise", ("env", 0, "value"), "/token")
    yield with_("labels that nobody carries", ("selector", "matchLabels"), {"no": "one"})
    yield with_("a volume that is nowhere", ("volumes",), [])
    yield with_("a volume of the pod's own name", ("volumes", 0, "name"), "scratch")
    yield with_("a token without path", token, {"audience": "pipelines.kubeflow.org"})


def broken_pipelines(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """A pipeline whose tasks refer to nothing, and one whose images are not pinned."""
    for name, text in texts:
        if name.startswith("component:"):
            continue
        yield f"{name} with an unpinned image", _retagged(text)
        yield f"{name} with a task that is nowhere", _misnamed(text)


def _retagged(text: str) -> str:
    import yaml

    documents = list(yaml.load_all(text, Loader=LOADER))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        image = str(executor["container"]["image"])
        executor["container"]["image"] = image.rpartition(":")[0] + ":latest"
        break
    return yaml.safe_dump_all(documents)


def _misnamed(text: str) -> str:
    import yaml

    documents = list(yaml.load_all(text, Loader=LOADER))
    for task in documents[0]["root"]["dag"]["tasks"].values():
        task["componentRef"]["name"] = "comp-nowhere"
        break
    return yaml.safe_dump_all(documents)
