"""Plan a retraining when it runs: its windows, version, champion, and whether it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hemix.components.plan.naming import feature_service, version_name, without_split
from hemix.components.plan.windows import RollingWindows, scheduled_time
from hemix.features.definition import DatasetDefinition
from hemix.progress import say
from hemix.revision import revision
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.transitions import running_policy, running_told
from hemix.storage import join


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the training pipeline is started with; ``needed`` is False when the registry has it."""

    needed: bool
    definition: str
    events_definition: str
    source_fingerprint: str
    version: str
    feature_service: str
    revision: str
    champion: str
    checkpoints: str


def run(
    *,
    definition: DatasetDefinition,
    scheduled: str,
    windows: RollingWindows,
    recipe: str,
    overrides: Mapping[str, str],
    registry: str,
    checkpoints: str,
    running: str = "wait",
    now: datetime | None = None,
) -> Planned:
    """Decide what a retraining scheduled for ``scheduled`` does; reads, changes nothing.

    The same scheduled time over the same log, recipe and code is the same version, so a run that is
    repeated, or caught up later, never trains what the registry already holds.

    Args:
        definition: its split is replaced by the rolling one.
        scheduled: ISO 8601 or ``YYYYMMDDhhmmss``, UTC; empty for ``now``.
        windows: lengths of the windows and the log's delay.
        recipe: name of the training recipe.
        overrides: dotted fields of the recipe -> values.
        registry: location of the registry; its champion is what the version is compared with.
        checkpoints: location below which each version's checkpoints are kept.
        running: what becomes of an experiment that runs: wait, replace or queue; said here, done by
            the deploy step by what runs then.
        now: the time of the run; the clock's when None.

    Raises:
        DefinitionError: a time, window, recipe or override that cannot be used.
        DataError: the log's files are not there.
        RegistryError: the registry cannot be read.
    """
    from hemix.features.sources.tables import fingerprint

    time = scheduled_time(scheduled, now or datetime.now(UTC))
    rolled = windows.roll(definition, time)
    source = fingerprint(rolled)
    code = revision()
    version = version_name(rolled, recipe, overrides, source, code)
    store = open_registry(registry)
    state = store.state()
    champion = state.champion if state.champion != version else None
    needed = version not in state.versions
    policy = running_policy(running)
    if needed and state.challengers:
        become = {
            "wait": "goes on; the new version will stay a candidate",
            "queue": "goes on; the new version will be the next on trial",
            "replace": "ends when the new version is deployed",
        }[policy]
        say(f"plan: {running_told(state)}; that {become} (running_experiment: {policy})")
    test = rolled.split.test
    say(
        f"plan: {version}, tested on {test.start:%Y-%m-%d} to {test.end:%Y-%m-%d}, "
        f"against {champion or 'no champion'}" + ("" if needed else "; the registry has it")
    )
    return Planned(
        needed=needed,
        definition=rolled.to_json(),
        events_definition=without_split(rolled).to_json(),
        source_fingerprint=source,
        version=version,
        feature_service=feature_service(version),
        revision=code,
        champion=store.location_of(champion) if champion else "",
        checkpoints=join(checkpoints, version),
    )
