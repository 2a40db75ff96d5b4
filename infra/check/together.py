"""An installation as a whole: what is applied, what controllers make of it, and whether it fits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from hemix.infra.check import pod_defaults, sources
from hemix.infra.check.objects import Manifest, Object
from hemix.infra.check.rules import accounts, flows, ours, references, room
from hemix.infra.check.rules import settings as settings_of_programs
from hemix.infra.check.rules.chosen import (
    addresses,
    boards,
    disks,
    notify,
    placement,
    quotas,
    scaling,
    sizes,
    stores,
    times,
)
from hemix.infra.check.rules.policy import (
    doors,
    identity,
    known,
    openings,
    programs,
    shape,
    shipped,
    trainings,
)
from hemix.infra.check.rules.policy.files import located
from hemix.infra.check.rules.working import pods, runtimes, serving, watching
from hemix.infra.check.rules.world import World, world
from hemix.infra.check.users.settings import Given, given, usual
from hemix.pipelines.compiler.cluster_settings import ClusterSettings


def problems(
    overlay: Sequence[Object],
    applied: Sequence[Object] | None = None,
    settings: Given | None = None,
) -> list[str]:
    """What would not work although every object by itself is fine.

    Args:
        overlay: what is applied once.
        applied: what ``hemix deploy`` and the train step apply there; what is not said is made.
        settings: with which it is made; None: as shipped, in the overlay's namespace.
    """
    return list(each(built(overlay, applied, settings)))


RULES = (
    runtimes.problems,
    references.problems,
    accounts.problems,
    settings_of_programs.problems,
    ours.problems,
    room.problems,
    known.problems,
    identity.problems,
    doors.problems,
    openings.problems,
    programs.problems,
    trainings.problems,
    shape.problems,
    pods.problems,
    serving.problems,
    watching.problems,
    quotas.problems,
    sizes.problems,
    addresses.problems,
    boards.problems,
    notify.problems,
    disks.problems,
    placement.problems,
    scaling.problems,
    times.problems,
    stores.problems,
    shipped.problems,
    flows.problems,
)
"""All that looks at several objects; the dearest comes last."""


def each(found: World) -> Iterator[str]:
    """One problem after another, worked out as they are asked for.

    Where a runtime is missing, nothing else is told: all that follows from it would hide it.
    """
    told = False
    for rule in RULES:
        if told and rule is not runtimes.problems:
            return
        try:
            for problem in rule(found):
                told = rule is runtimes.problems
                yield located(problem)
        except (
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            ArithmeticError,
            RuntimeError,
        ) as error:
            # A text where a mapping belongs, a part that is missing: no program would read it either.
            yield f"{rule.__module__.rpartition('.')[2]}: an object is not built as its kind is ({error!r})"


def built(
    overlay: Sequence[Object],
    applied: Sequence[Object] | None = None,
    settings: Given | None = None,
) -> World:
    """What stands in the cluster then: with KServe's container, and the pods of every step."""
    made = functools.cache(lambda: settings or given(overlay))
    manifests = [item.manifest for item in overlay]
    kinds = {manifest["kind"] for manifest in manifests}
    manifests += [item.manifest for item in applied or ()]
    kinds |= {manifest["kind"] for manifest in manifests}
    if "InferenceService" not in kinds:
        manifests += [item.manifest for item in sources.shipped(made().deployment)]
    if "TrainingRuntime" in kinds and "TrainJob" not in kinds:
        manifests += [item.manifest for item in tuple(sources.trainings(made().training))[:1]]
    if "ClusterStorageContainer" not in kinds:
        manifests += [item.manifest for item in _kserve()]
    return world(manifests, _steps() if settings is None else steps(settings.cluster))


@functools.cache
def _kserve() -> tuple[Object, ...]:
    return tuple(sources.initializer())


@functools.cache
def _steps() -> list[Manifest]:
    return steps(usual())


def steps(settings: ClusterSettings) -> list[Manifest]:
    """The pods of every step."""
    return [pod_defaults.pod_of(step, settings) for step in settings.steps]
