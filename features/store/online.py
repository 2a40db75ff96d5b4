"""Batched reads of the online store, with a deadline: rows of a user and of N items.

A store that is silent or broken is left alone (:mod:`hemix.breaker`): reads then fail at once, and
a thread of its own asks the store until it answers. No request waits for that.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlinePassed
from datetime import UTC
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from hemix.breaker import Breaker
from hemix.errors import FeatureStoreError, RequestError
from hemix.features.feature_views import Entity, ViewSpec
from hemix.features.store.items import ItemCache, Known
from hemix.features.store.remote import live_folder
from hemix.features.store.rows import OnlineRows, Row, columns_of, empty, reader
from hemix.features.store.settings import hang_up, open_store, store_errors

T = TypeVar("T")


class OnlineFeatures:
    """Reads one feature service of a live (or staged) store.

    The registry is read once, when opened; a read asks the online store once a view, through
    Feast's provider, without the registry and without ``get_online_features``' reshaping.

    Args:
        live: the store, a folder or ``s3://bucket/prefix``; of a remote one what is live now is read.
        service: name of the feature service, as in a model version's manifest.
        timeout_s: longest time a read may take; then :class:`FeatureStoreError`.
        workers: reads that may run at the same time.
        item_cache_s: seconds for which an item's row is kept in memory; 0 reads it every time.
        item_cache_bytes: about the bytes of all rows that are kept.
        breaker: when a store that does not answer is left alone; None: as :func:`store_breaker` says.

    Raises:
        FeatureStoreError: no such store or service.
    """

    def __init__(
        self,
        live: Path | str,
        service: str,
        *,
        timeout_s: float = 0.5,
        workers: int = 2,
        item_cache_s: float = 5.0,
        item_cache_bytes: int = 128 << 20,
        breaker: Breaker | None = None,
    ) -> None:
        self.service = service
        self.timeout_s = timeout_s
        self._cache: ItemCache | None = None
        if item_cache_s > 0:
            self._cache = ItemCache(keep_s=item_cache_s, limit=item_cache_bytes)
        self._breaker = breaker or store_breaker(service)
        self._closed = threading.Event()
        self._recovering = threading.Lock()
        with store_errors(str(live)):
            folder = live_folder(live)
            stores = [open_store(folder, offline=False) for _ in range(workers)]
            try:
                views = _views_of(stores[0], service)
            finally:
                for store in stores:
                    hang_up(store)
        self._views = {
            side: [view for view, spec in views if spec.entity == side] for side in SIDES
        }
        self._specs = {side: [spec for _, spec in views if spec.entity == side] for side in SIDES}
        self._decoders = {side: _decoder(self._specs[side]) for side in SIDES}
        self._key_field = {side: _key_field(self._views[side][0], side) for side in SIDES}
        self._stores: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for store in stores:
            self._stores.put(store)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="features")
        self.newest: dict[str, float] = {}
        """View (without its digest) -> epoch seconds of the newest row that was read of it."""

    def read(self, user_id: Any, item_ids: Iterable[Any]) -> tuple[OnlineRows, OnlineRows]:
        """Rows of one user ``[1]`` and of the items ``[N]``, within one deadline.

        Raises:
            FeatureStoreError: the store failed, the deadline passed, or the store is left alone
                because it did not answer others.
            RequestError: an id is not of the type that the log has.
        """
        keys = list(item_ids)
        return self._in_time(lambda: (self._rows("user", [user_id]), self._rows("item", keys)))

    def users(self, user_ids: Iterable[Any]) -> OnlineRows:
        """Rows of users ``[N]``; errors as in :meth:`read`."""
        keys = list(user_ids)
        return self._in_time(lambda: self._rows("user", keys))

    def items(self, item_ids: Iterable[Any]) -> OnlineRows:
        """Rows of items ``[N]``; errors as in :meth:`read`."""
        keys = list(item_ids)
        return self._in_time(lambda: self._rows("item", keys))

    def defaults(self, side: Entity, keys: Iterable[Any]) -> OnlineRows:
        """The rows of unknown keys, without asking the store: what is served when it is down."""
        keys = list(keys)
        row = self._decoders[side]([None] * len(self._specs[side]))
        return self._assembled(side, keys, [False] * len(keys), [row] * len(keys))

    def close(self) -> None:
        """Let the workers end; reads fail afterwards."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ---- reading --------------------------------------------------------------------------------

    def _in_time(self, read: Callable[[], T]) -> T:
        if self._closed.is_set():
            raise FeatureStoreError("The feature store reader is closed.")
        if self._breaker.is_open:
            self._recover()
            raise FeatureStoreError(
                "The feature store is left alone: it did not answer lately.",
                hint="Requests are served from defaults until it does.",
            )
        started = time.monotonic()
        try:
            answer = self._asked(read)
        except FeatureStoreError as error:
            if self._breaker.failed(error, took_s=time.monotonic() - started):
                self._recover()
            raise
        self._breaker.succeeded()
        return answer

    def _asked(self, read: Callable[[], T]) -> T:
        try:
            future = self._pool.submit(read)
        except RuntimeError as error:
            raise FeatureStoreError("The feature store reader is closed.") from error
        try:
            return future.result(self.timeout_s)
        except DeadlinePassed as error:
            if not future.cancel():
                future.add_done_callback(self._came_late)
            raise FeatureStoreError(
                f"The feature store did not answer in {self.timeout_s} s.",
                hint="Requests are served from defaults until it does.",
            ) from error

    def _came_late(self, future: Future[Any]) -> None:
        if future.exception() is None:
            self._breaker.late()

    def _recover(self) -> None:
        """Ask the store from a thread of its own until it answers; one such thread at a time."""
        if self._recovering.acquire(blocking=False):
            threading.Thread(target=self._try_again, name="features-trial", daemon=True).start()

    def _try_again(self) -> None:
        key = 0 if self._key_field["user"] == "int64_val" else "?"
        try:
            while self._breaker.is_open and not self._closed.wait(self._breaker.rest_s):
                try:
                    self._asked(lambda: self._fetch("user", [key]))
                except Exception as error:  # whatever it is, the next trial may find it mended
                    self._breaker.failed(error)
                else:
                    self._breaker.succeeded()
        finally:
            self._recovering.release()

    def _rows(self, side: Entity, keys: list[Any]) -> OnlineRows:
        if side == "user" or self._cache is None:
            found = self._fetch(side, keys)
        else:
            found = self._through(self._cache, keys)
        return self._assembled(side, keys, [known for known, _ in found], [row for _, row in found])

    def _through(self, cache: ItemCache, keys: list[Any]) -> list[Known]:
        now = time.monotonic()
        found = cache.get(keys, now)
        missing = list(dict.fromkeys(k for k, hit in zip(keys, found, strict=True) if hit is None))
        fresh: dict[Any, Known] = {}
        if missing:
            fresh = dict(zip(missing, self._fetch("item", missing), strict=True))
            cache.put(fresh, now)
        return [fresh[key] if hit is None else hit for key, hit in zip(keys, found, strict=True)]

    def _fetch(self, side: Entity, keys: list[Any]) -> list[tuple[bool, Row]]:
        """Ask every view of ``side`` once for all ``keys``."""
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        join, field = [f"{side}_id"], self._key_field[side]
        try:
            entity_keys = [
                EntityKey(join_keys=join, entity_values=[Value(**{field: plain(key)})])
                for key in keys
            ]
        except (TypeError, ValueError) as error:
            raise RequestError(f"{side}_id: a value is not of the log's type ({error}).") from error
        if not keys:
            return []
        store = self._stores.get()
        try:
            with store_errors(self.service):
                provider = store._get_provider()
                answers = [
                    provider.online_read(store.config, view, entity_keys)
                    for view in self._views[side]
                ]
        finally:
            self._stores.put(store)
        for spec, answer in zip(self._specs[side], answers, strict=True):
            self._note_age(spec.base, answer)
        decode = self._decoders[side]
        found = []
        for parts in zip(*answers, strict=True):
            # Redis answers the epoch, sqlite nothing, for a key that it does not hold.
            values = [
                v if stamp is not None and stamp.timestamp() > 0 else None for stamp, v in parts
            ]
            found.append((any(value is not None for value in values), decode(values)))
        return found

    def _note_age(self, view: str, answer: Sequence[tuple[Any, Any]]) -> None:
        """A publication gives all rows of a view one time: the first row that is there tells it."""
        for stamp, values in answer:
            if values is not None and stamp is not None and stamp.timestamp() > 0:
                at = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
                self.newest[view] = max(at.timestamp(), self.newest.get(view, 0.0))
                return

    def _assembled(
        self, side: Entity, keys: list[Any], known: Sequence[bool], rows: Sequence[Row]
    ) -> OnlineRows:
        dtype = np.int64 if self._key_field[side] == "int64_val" else object
        array = np.empty(len(keys), dtype=dtype)
        array[:] = keys
        specs = self._specs[side]
        if rows:
            columns = columns_of(specs, rows)
        else:
            row = self._decoders[side]([None] * len(specs))
            columns = {name: c[:0] for name, c in columns_of(specs, [row]).items()}
        return OnlineRows(keys=array, known=np.array(known, dtype=bool), columns=columns)


SIDES: tuple[Entity, ...] = ("user", "item")


def store_breaker(service: str, changed: Callable[[bool], None] = lambda _: None) -> Breaker:
    """When a feature store that does not answer is left alone; ``changed`` as of :class:`Breaker`.

    After three failures in a row and 0.75 s without any answer, or 3 s with late ones only; it is
    tried every 0.5 s.
    """
    what = f"The feature store of {service}"
    return Breaker(what, failures=3, over_s=0.75, rest_s=0.5, changed=changed)


def plain(key: Any) -> Any:
    """A key as Python's own int or str."""
    return key.item() if isinstance(key, np.generic) else key


def _decoder(specs: list[ViewSpec]) -> Callable[[Sequence[dict[str, Any] | None]], Row]:
    """A function from one ``{feature: Value}`` a view (None: unknown key) to a row of all features."""
    plans = [
        [
            (name, reader(kind, spec.default(name)), empty(kind, spec.default(name)))
            for name, kind in spec.columns.items()
        ]
        for spec in specs
    ]

    def decode(values: Sequence[dict[str, Any] | None]) -> Row:
        row: list[Any] = []
        for plan, answer in zip(plans, values, strict=True):
            if answer is None:
                row.extend(missing for _, _, missing in plan)
            else:
                row.extend(
                    read(answer[name]) if name in answer else missing
                    for name, read, missing in plan
                )
        return tuple(row)

    return decode


def _views_of(store: Any, service: str) -> list[tuple[Any, ViewSpec]]:
    """The Feast views of ``service`` and their specs, read back from the registry."""
    try:
        projections = store.get_feature_service(service).feature_view_projections
    except Exception as error:
        raise FeatureStoreError(
            f"The feature store has no feature service {service!r} ({type(error).__name__}).",
            hint="Publish the version's feature repository first.",
        ) from error
    return [
        (view, _spec_of(view))
        for view in (store.get_feature_view(projection.name) for projection in projections)
    ]


def _spec_of(view: Any) -> ViewSpec:
    base = view.tags["base"]
    columns = {field.name: _arrow(str(field.dtype)) for field in view.features}
    entity: Entity = "user" if view.entities == ["user"] else "item"
    return ViewSpec(
        base=base, entity=entity, name=view.name, columns=columns, zero=base.endswith("_counters")
    )


def _arrow(name: str) -> pa.DataType:
    """The Arrow type of a Feast type's name (``Int64``, ``Array(String)``, ...)."""
    if name.startswith("Array("):
        return pa.list_(_arrow(name[len("Array(") : -1]))
    return {"Int64": pa.int64(), "Float64": pa.float64(), "String": pa.string()}[name]


def _key_field(view: Any, side: str) -> str:
    kinds = {column.name: str(column.dtype) for column in view.entity_columns}
    return "int64_val" if kinds[f"{side}_id"] == "Int64" else "string_val"
