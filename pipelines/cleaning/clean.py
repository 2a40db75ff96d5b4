"""Choose what goes, remove it, and look what is left.

Nothing is chosen before every list has been read whole. Records go before files: KFP takes a step's
outputs from its cache without looking whether they are there, and forgets them with the run's record;
so artifacts go only when no record names them, and no run is active that was begun while one did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hemix import storage
from hemix.errors import DefinitionError, StorageError
from hemix.pipelines.cleaning import jobs, places, records
from hemix.pipelines.cleaning.places import Folder, Kind
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.retention import Retention
from hemix.serving.kubernetes.api import Cluster
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.transitions import Note, RegistryState, forget, last_moved, needed


@dataclass(frozen=True, kw_only=True)
class Places:
    """Locations that are cleaned; an empty one is left alone."""

    registry: str
    checkpoints: str = ""
    exposures: str = ""
    feature_store: str = ""
    pipeline_root: str = ""

    def __post_init__(self) -> None:
        for name in ("registry", "checkpoints", "exposures", "feature_store", "pipeline_root"):
            value = getattr(self, name)
            if (
                value
                and storage.is_remote(value)
                and not value.partition("://")[2].partition("/")[2]
            ):
                raise DefinitionError(
                    f"{name}: {value} is a whole bucket.",
                    hint="Give its folder: s3://BUCKET/PREFIX.",
                )


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Something that goes: bytes of the store (0 for a record or a job), and why it can."""

    kind: Kind
    name: str
    size: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What went (with a dry run: would go), what was left for another time and why, what resisted."""

    removed: tuple[Removal, ...]
    waiting: tuple[str, ...]
    stubborn: tuple[str, ...]

    @property
    def freed(self) -> int:
        """Bytes of the store."""
        return sum(removal.size for removal in self.removed)

    def require_all(self) -> None:
        """Raises StorageError when something that should go is still there."""
        if self.stubborn:
            raise StorageError(
                f"{len(self.stubborn)} of {len(self.stubborn) + len(self.removed)} could not be "
                f"removed: {'; '.join(self.stubborn[:5])}.",
                hint="The next cleaning tries them again. Rights: s3:DeleteObject, and of the Role "
                "hemix-pipeline.",
            )


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """``folders`` of files with the reason of each; ``run_ids``, records that go before them."""

    folders: tuple[tuple[Folder, str], ...]
    run_ids: tuple[str, ...]
    versions: Mapping[str, datetime]
    """Each with its last move: what is moved meanwhile stays."""
    jobs: tuple[jobs.Job, ...]
    waiting: tuple[str, ...]


def clean(
    where: Places,
    retention: Retention,
    *,
    api: PipelinesApi | None,
    cluster: Cluster | None,
    dry_run: bool,
    now: datetime | None = None,
) -> Cleaned:
    """Remove what the policy lets go.

    Never: the champion, the champions before that ``retention.champions`` counts, versions on trial
    or next, the run and its artifacts that made one of these, exposures since the running experiment
    began, the newest offline rows of each feature view, and what was written or moved within the policy's days.

    Args:
        where: locations.
        retention: the policy.
        api: the pipelines' server; without it artifacts of runs are left alone.
        cluster: where TrainJobs are; without it they are left alone.
        dry_run: choose only.
        now: the time; the clock's when None.

    Raises:
        HemixError: something could not be listed or read; nothing was removed then.
    """
    time = now or datetime.now(UTC)
    registry = open_registry(where.registry)
    state = registry.state()
    chosen = _choose(where, retention, registry, state, api, cluster, time)
    if dry_run:
        return Cleaned(removed=_told(chosen), waiting=chosen.waiting, stubborn=())
    return _carry_out(chosen, retention, registry, api, cluster)


# ---- choosing -----------------------------------------------------------------------------------


def _choose(
    where: Places,
    retention: Retention,
    registry: Registry,
    state: RegistryState,
    api: PipelinesApi | None,
    cluster: Cluster | None,
    now: datetime,
) -> _Chosen:
    keep = needed(state, champions=retention.champions)
    waiting: list[str] = []
    run_ids: tuple[str, ...] = ()
    folders: list[tuple[Folder, str]] = []
    if where.pipeline_root:
        run_ids, found = _runs(where.pipeline_root, retention, keep, api, now, waiting)
        folders += found
    versions, found = _versions(registry, state, retention, now)
    folders += found
    if where.checkpoints:
        days = retention.checkpoints_days
        why = f"not written to for {days} days"
        lying = places.checkpoints(where.checkpoints).values()
        folders += [(folder, why) for folder in lying if folder.older(days, now)]
    if where.exposures and retention.exposures_days:
        folders += _exposures(where.exposures, state, retention, now)
    if where.feature_store and retention.features_days:
        days = retention.features_days
        why = f"older than {days} days, and newer rows are there"
        lying = places.superseded(where.feature_store).values()
        folders += [(folder, why) for folder in lying if folder.older(days, now)]
    gone = jobs.ended(cluster, retention.jobs_days, now) if cluster is not None else []
    return _Chosen(
        folders=tuple(folders),
        run_ids=run_ids,
        versions=versions,
        jobs=tuple(gone),
        waiting=tuple(waiting),
    )


def _runs(
    root: str,
    retention: Retention,
    keep: set[str],
    api: PipelinesApi | None,
    now: datetime,
    waiting: list[str],
) -> tuple[tuple[str, ...], list[tuple[Folder, str]]]:
    """Records that go, and folders of artifacts."""
    if api is None:
        waiting.append("artifacts of runs: no pipelines' server says which runs there are")
        return (), []
    told = records.recorded(api)
    waiting += [f"lost: {run}; terminate it on its page" for run in told.lost]
    if told.active:
        waiting.append(f"artifacts of runs: {', '.join(told.active)} may still read them")
        return (), []
    days, lying = retention.runs_days, places.runs(root)
    old = [
        run.run_id
        for run in records.older(told.ended, days, now)
        if run.run_id not in lying or places.deployed(lying[run.run_id]) not in keep
    ]
    known = {run.run_id for run in told.ended} - set(old)
    folders = [
        (
            folder,
            f"ended more than {days} days ago" if name in old else "the server has no such run",
        )
        for name, folder in lying.items()
        if name not in known and folder.older(days, now)
    ]
    return tuple(old), folders


def _versions(
    registry: Registry, state: RegistryState, retention: Retention, now: datetime
) -> tuple[dict[str, datetime], list[tuple[Folder, str]]]:
    """Versions that are forgotten, and folders: theirs, and those that the registry never named."""
    days = retention.versions_days
    moved = last_moved(state)
    keep = needed(state, champions=retention.champions)
    old = {
        version: moved[version]
        for version in state.versions
        if version not in keep and version in moved and now - moved[version] > timedelta(days=days)
    }
    why = f"serves no one since more than {days} days"
    folders = []
    for name, folder in places.versions(registry.location).items():
        if name in old:
            folders.append((folder, why))
        elif name not in state.versions:
            # Of one that was forgotten what is left goes; of others, an add may be uploading them.
            left = name in moved and folder.written <= moved[name]
            if left or folder.older(days, now):
                folders.append((folder, "the registry does not name it"))
    return old, folders


def _exposures(
    root: str, state: RegistryState, retention: Retention, now: datetime
) -> Iterator[tuple[Folder, str]]:
    before = now - timedelta(days=retention.exposures_days)
    trials = {one.version for one in state.challengers}
    begun = [event.when for event in state.history if event.version in trials]
    before = min([before, *begun])
    for hour, folder in sorted(places.exposures(root).items()):
        # An hour's file is written to until the hour ends.
        if datetime.fromisoformat(f"{hour}:00:00+00:00") + timedelta(hours=1) < before:
            yield folder, f"older than {retention.exposures_days} days"


# ---- doing it -----------------------------------------------------------------------------------


def _carry_out(
    chosen: _Chosen,
    retention: Retention,
    registry: Registry,
    api: PipelinesApi | None,
    cluster: Cluster | None,
) -> Cleaned:
    waiting = list(chosen.waiting)
    resisting: dict[tuple[str, str], str] = {}
    for run_id in chosen.run_ids:
        assert api is not None, "records were read from it"
        if reason := records.forget(api, run_id):
            resisting["run", run_id] = reason
    if chosen.versions:
        registry.move(lambda state: _forgotten(state, chosen.versions, retention.champions))
    in_use = set(registry.state().versions)
    # Whoever began since the lists were read may have been given a record that is gone now.
    busy = records.recorded(api).active if api is not None and chosen.run_ids else ()
    if busy:
        waiting.append(f"artifacts of runs: {', '.join(busy)} began meanwhile")
    going = [
        (folder, why)
        for folder, why in chosen.folders
        if not (folder.kind == "run" and (busy or ("run", folder.name) in resisting))
        and not (folder.kind == "version" and folder.name in in_use)
    ]
    for folder, _ in going:
        stay = storage.remove_each(folder.location, folder.names)
        if stay:
            name, reason = next(iter(sorted(stay.items())))
            resisting[folder.kind, folder.name] = f"{len(stay)} files, {name}: {reason}"
    for folder in places.left(folder for folder, _ in going):
        resisting.setdefault((folder.kind, folder.name), "a listing still shows its files")
    for job in chosen.jobs:
        assert cluster is not None, "jobs were read from it"
        if reason := jobs.remove(cluster, job):
            resisting["job", job.name] = reason
    done = _Chosen(
        folders=tuple(going),
        run_ids=chosen.run_ids,
        versions=chosen.versions,
        jobs=chosen.jobs,
        waiting=tuple(waiting),
    )
    return Cleaned(
        removed=tuple(r for r in _told(done) if (r.kind, r.name) not in resisting),
        waiting=tuple(waiting),
        stubborn=tuple(f"{kind} {name}: {why}" for (kind, name), why in sorted(resisting.items())),
    )


def _forgotten(
    state: RegistryState, chosen: Mapping[str, datetime], champions: int
) -> RegistryState:
    moved = last_moved(state)
    gone = [version for version, when in chosen.items() if moved.get(version) == when]
    note = Note(who="cleaning", why="its files are removed")
    return forget(state, gone, champions=champions, note=note)


def _told(chosen: _Chosen) -> tuple[Removal, ...]:
    """One line a thing: a run's record and its artifacts are one."""
    found = [
        Removal(kind=folder.kind, name=folder.name, size=folder.size, why=why)
        for folder, why in chosen.folders
    ]
    told = {removal.name for removal in found if removal.kind == "run"}
    found += [
        Removal(kind="run", name=run_id, size=0, why="ended long ago; its record")
        for run_id in chosen.run_ids
        if run_id not in told
    ]
    found += [
        Removal(kind="job", name=job.name, size=0, why=f"ended {job.ended:%Y-%m-%d %H:%M}")
        for job in chosen.jobs
    ]
    return tuple(sorted(found, key=lambda removal: (removal.kind, removal.name)))
