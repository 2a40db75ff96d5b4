"""A mistake: which object, where in it, and what is put there; and whether it is refused."""

from __future__ import annotations

import copy
import functools
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hemix.infra.check import (
    core,
    namespaces,
    pod_defaults,
    prometheus,
    schemas,
    sources,
    together,
)
from hemix.infra.check.mistakes.components import CHOSEN, with_components
from hemix.infra.check.objects import ROOT, Manifest, Object, kustomized
from hemix.infra.check.rules.policy.files import located
from hemix.infra.check.users.settings import given, home_of

GONE = object()
"""In place of a value: the field, or the object, is taken away."""
ADD = object()
"""As the last part of a path: another element of a list."""
Path = tuple[Any, ...]


@dataclass(frozen=True)
class Mistake:
    """One object of an installation, broken in one place.

    ``object``: ``Kind name``, or the beginning of it. ``edits``: a path in it and the value that is
    put there. ``site``: which installation, see :func:`site_of`.
    """

    title: str
    object: str
    edits: tuple[tuple[Path, Any], ...]
    site: str = "prod"


def mistake(title: str, object_: str, *edits: Any, site: str = "prod") -> Mistake:
    """``edits``: a path, a value, a path, a value, ..."""
    pairs = tuple(zip(edits[::2], edits[1::2], strict=True))
    return Mistake(title, object_, pairs, site)


@dataclass(frozen=True)
class Site:
    """An overlay, and what is deployed and started there."""

    overlay: tuple[Object, ...]
    applied: tuple[Object, ...]


@functools.cache
def site_of(name: str) -> Site:
    """``prod``: KEDA, signing, a training on GPUs; ``trial``: with images on trial; ``local``: volumes;
    ``profile``: Kubeflow's multi-user mode; ``single``: runs in kubeflow; ``components``: prod with those
    that no overlay has; ``gke``: with GKE's."""
    overlay, settings = {
        "prod": ("prod", "KEDA and a signing key"),
        "trial": ("prod", "an image on trial"),
        "shipped": ("prod", "as shipped"),
        "local": ("local", "GPU and a volume"),
        "profile": ("multi-user", "as shipped"),
        "single": ("single-user", "as shipped"),
        "components": ("prod", "as shipped"),
        "gke": ("prod", "as shipped"),
    }[name]
    folder = ROOT / "infra" / "kustomize" / "overlays" / overlay
    chosen = dict(zip(("components", "gke"), CHOSEN, strict=True)).get(name)
    rendered = tuple(with_components(chosen) if chosen else kustomized(folder))
    home = home_of(rendered)
    made = sources.variants(lambda _: home)
    found = next(objects for title, _, objects in made if title == settings)
    trained = [] if overlay == "local" else list(sources.trainings(given(rendered).training))[1:]
    applied = (*found, *trained, *sources.initializer())
    return Site(rendered, applied)


def refused(wrong: Mistake) -> list[str]:
    """Why the checkers refuse it; empty when they take it.

    Raises:
        LookupError: the installation has no such object or place: the mistake is out of date.
    """
    site = site_of(wrong.site)
    overlay, applied = list(site.overlay), list(site.applied)
    known = {item.title for item in (*overlay, *applied)}
    for objects in (overlay, applied):
        for place, item in enumerate(objects):
            exact = item.title == wrong.object
            if exact or (wrong.object not in known and item.title.startswith(wrong.object)):
                changed = _broken(item, wrong)
                objects[place : place + 1] = [] if changed is None else [changed]
                return judged(overlay, applied, changed)
    raise LookupError(f"{wrong.title}: there is no {wrong.object}")


def judged(
    overlay: Sequence[Object], applied: Sequence[Object], changed: Object | None = None
) -> list[str]:
    """The first things that the checkers find which need no server and no other program.

    ``changed``: the only object that is looked at by itself; None: none is.
    """
    found: list[str] = []
    if changed is not None:
        if changed.manifest["kind"] == pod_defaults.KIND:
            found += pod_defaults.problems(changed.manifest)
        else:
            found += [f"{changed.title}: {p}" for p in core.everywhere(changed.manifest)]
        found = [located(problem) for problem in found]
    if not found:  # what is refused by itself is not applied
        found += namespaces.problems(overlay)
        found += itertools.islice(together.each(together.built(overlay, applied)), 3)
    if not found and changed is not None:
        known = schemas.core_problems if changed.core else schemas.custom_problems
        found += [located(f"{changed.title}: {p}") for p in known(changed.manifest)]
    if not found and changed is not None and changed.manifest["kind"] == "PrometheusRule":
        rules = [o.manifest for o in overlay if o.manifest["kind"] == "PrometheusRule"]
        found += prometheus.problems(rules, prometheus.TESTS) if shutil.which("promtool") else []
    return found


def _broken(item: Object, wrong: Mistake) -> Object | None:
    manifest: Manifest = copy.deepcopy(item.manifest)
    for path, value in wrong.edits:
        if path == () and value is GONE:
            return None
        place: Any = manifest
        for key in path[:-1]:
            if isinstance(place, dict) and key not in place:
                place[key] = {}
            place = place[key]
        last = path[-1]
        if last is ADD:
            place.append(value)
        elif value is GONE:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return Object(f"{item.source} with {wrong.title}", manifest)
