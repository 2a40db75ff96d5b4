"""Make a version's feature service live, beside those that serve already.

Order: offline rows, then tables, then online rows (a transaction a view), then the service: a registry
file is replaced by one rename, a SQL registry gets the service last. The base of live features
comes after it, by one rename: values and the cut of the log that they are of are one file. Killed at any point, the
services of before are all still there; a second run completes it. A live store on S3 is published to
through :mod:`hemix.features.store.remote`.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from hemix.errors import FeatureStoreError, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.feature_views import view_specs
from hemix.features.live.base import base_name
from hemix.features.schema import ColumnTypes
from hemix.features.store.materialise import (
    allow_readers_while_writing,
    fold_log,
    materialise,
    offline_file,
)
from hemix.features.store.objects import feast_objects
from hemix.features.store.remote import working_copy
from hemix.features.store.repository import RepositoryInfo, service_tags
from hemix.features.store.settings import (
    FEATURE_REGISTRY,
    LIVE_PROJECT,
    ONLINE,
    REGISTRY,
    SQLITE,
    hang_up,
    in_sql,
    online_settings,
    open_store,
    quiet,
    read_settings,
    registry_settings,
    store_errors,
    write_settings,
)
from hemix.files import atomic_file, link_or_copy, locked, read_json, write_json, writing
from hemix.limits import FULL
from hemix.progress import say
from hemix.storage import is_remote

MAY_WRITE = "Give this user write permission on the feature store's folder."
PUBLISHED = "published.json"
NEXT_REGISTRY = ".registry.next.tmp"


def publish(
    repository: Path,
    live: Path | str,
    online_store: str | None = None,
    feature_registry: str | None = None,
) -> RepositoryInfo:
    """Apply ``repository``'s views and service to the store ``live`` and fill its online store.

    Views that a champion reads have other names unless their definition is the same; then they are
    refreshed, and never with rows of an older instant than they hold. Publishing the same
    repository twice changes nothing.

    Args:
        repository: the artifact of ``build_repository``, after its gates.
        live: the live store, a folder or ``s3://bucket/prefix``; made when absent.
        online_store: ``sqlite`` or ``redis://host:port/db``; as in the repository when None.
        feature_registry: ``file``, ``sqlite`` or ``postgresql://user@host:port/db``; when None,
            ``$HEMIX_FEATURE_REGISTRY``, else as it is, else ``file``.

    Raises:
        FeatureStoreError: the live store is of another kind, or does not answer.
        StorageError: the disk is full or not writable; what serves is then as it was before.
    """
    info = RepositoryInfo.read(repository)
    info = info.model_copy(update={"online_store": online_store or info.online_store})
    feature_registry = feature_registry or os.environ.get(FEATURE_REGISTRY)
    if is_remote(live):
        with working_copy(str(live)) as folder:
            return _publish(repository, folder, info, feature_registry)
    live = Path(live)
    with writing(live):
        live.mkdir(parents=True, exist_ok=True)
        with locked(live / ".lock", hint=MAY_WRITE):
            return _publish(repository, live, info, feature_registry)


def _publish(
    repository: Path, live: Path, info: RepositoryInfo, feature_registry: str | None
) -> RepositoryInfo:
    _settle(live, info.online_store, feature_registry)
    state = read_json(live / PUBLISHED) if (live / PUBLISHED).exists() else {}
    if state.get("services", {}).get(info.service) == info.digest and _registered(live, info):
        say(f"feature store: {info.service} is published already")
        return info
    fresh = tuple(name for name in info.views if _is_news(state, name, info))
    for name in info.views:
        target = offline_file(live, name, info.as_of)
        if name in fresh or not target.exists():
            with atomic_file(target) as path:
                link_or_copy(offline_file(repository, name, info.as_of), path)
    if in_sql(live):
        _apply(repository, live, REGISTRY, info, fresh)
    else:
        registry = _next_registry(live)
        try:
            try:
                _apply(repository, live, registry.name, info, fresh)
            except FeatureStoreError as error:
                if type(error.__cause__).__name__ != "DecodeError":
                    raise
                raise _cut_short(registry) from error
            _require_whole(registry, info.service)
            registry.replace(live / REGISTRY)
        finally:
            registry.unlink(missing_ok=True)
    if fresh:
        _publish_base(repository, live)
    views = {name: [info.as_of.isoformat(), info.digest] for name in fresh}
    write_json(
        live / PUBLISHED,
        {
            "services": {**state.get("services", {}), info.service: info.digest},
            "views": {**state.get("views", {}), **views},
        },
    )
    return info


def _apply(
    repository: Path, live: Path, registry: str, info: RepositoryInfo, fresh: tuple[str, ...]
) -> None:
    definition = DatasetDefinition.parse((repository / "definition.json").read_text())
    types = ColumnTypes.from_json(read_json(repository / "types.json"))
    objects = feast_objects(view_specs(definition, types), types, info.service, service_tags(info))
    store = open_store(live, registry=registry)
    *tables, service = objects
    try:
        with store_errors(info.online_store), quiet():
            store.apply(tables, partial=True)
        if info.online_store == SQLITE:
            with store_errors(info.online_store):
                allow_readers_while_writing(live / ONLINE)
        materialise(store, info, fresh, live)
        with store_errors(info.online_store), quiet():
            store.apply(service, partial=True)
    finally:
        hang_up(store)
    if info.online_store == SQLITE:
        with store_errors(info.online_store):
            fold_log(live / ONLINE)


def _publish_base(repository: Path, live: Path) -> None:
    """Replace the base of live features in one step; repositories of earlier releases have none."""
    for base in repository.glob(base_name("*")):
        with atomic_file(live / base.name) as path:
            link_or_copy(base, path)


def _is_news(state: dict[str, dict[str, list[str]]], view: str, info: RepositoryInfo) -> bool:
    """Rows of an older instant, and the very rows that are there, are not written again."""
    as_of, digest = state.get("views", {}).get(view, ("", ""))
    if not as_of:
        return True
    held = datetime.fromisoformat(as_of)
    return held < info.as_of or (held == info.as_of and digest != info.digest)


def _registered(live: Path, info: RepositoryInfo) -> bool:
    if not in_sql(live) and not (live / REGISTRY).exists():
        return False
    store = open_store(live, offline=False)
    try:
        with store_errors(f"in {live}"):
            found = {service.name for service in store.list_feature_services()}
    finally:
        hang_up(store)
    return info.service in found


def _settle(live: Path, online_store: str, feature_registry: str | None) -> None:
    """Write the live settings once; refuse a store or registry of another kind afterwards."""
    wanted = online_settings(online_store)
    registry = registry_settings(feature_registry or "file")
    if not (live / "feature_store.yaml").exists():
        write_settings(live, project=LIVE_PROJECT, online=wanted, registry=registry)
        return
    settings = read_settings(live)
    # Feast's own layout, of before: it is published to and read as it is.
    kinds = [wanted, {"type": SQLITE, "path": ONLINE}] if online_store == SQLITE else [wanted]
    what = [online_store] if settings["online_store"] not in kinds else []
    if feature_registry and settings["registry"] != registry:
        what.append(f"registered in {feature_registry}")
    if what:
        raise FeatureStoreError(
            f"{live}: the live store is not {what[0].rsplit('@', 1)[-1]}.",
            hint="Publish to another folder: versions that serve would lose their features.",
        )


def _next_registry(live: Path) -> Path:
    """A copy of the registry under another name; absent when this is the first service."""
    path = live / NEXT_REGISTRY
    path.unlink(missing_ok=True)  # of a publish that was killed; we hold the lock
    if (live / REGISTRY).exists():
        shutil.copyfile(live / REGISTRY, path)
    return path


def _require_whole(registry: Path, service: str) -> None:
    """Before it is read by others: Feast does not look how much of the file a full disk took."""
    from feast.protos.feast.core.Registry_pb2 import Registry
    from google.protobuf.message import DecodeError

    try:
        found = Registry.FromString(registry.read_bytes())
    except DecodeError as error:
        raise _cut_short(registry) from error
    if service not in {s.spec.name for s in found.feature_services} or not found.HasField(
        "last_updated"
    ):
        raise _cut_short(registry)


def _cut_short(registry: Path) -> StorageError:
    return StorageError(f"{registry}: only a part of it could be written.", hint=FULL)
