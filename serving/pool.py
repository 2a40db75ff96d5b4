"""The versions that are live: loaded and warm, exchanged as a whole when the registry changes.

A request takes :attr:`VersionPool.live` once and keeps it to its end, so that it never sees half a
change; what it holds stays in memory until it is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hemix.errors import HemixError, ModelVersionError
from serving.assignment import Variant, assign, variants_of
from serving.experiments.assigned import MODEL_LAYER, Assigned, epoch_of
from serving.metrics import REGISTRY_ERRORS, VERSION_LIVE, VERSION_REFUSED
from serving.request import RequestContract
from serving.state import RegistryState
from serving.version import Version

logger = logging.getLogger("hemix.serving")

V = TypeVar("V", bound=Version)


class Source(Protocol):
    """Who says what serves: a registry, or a predictors file."""

    def state(self) -> RegistryState:
        """The state now; RegistryError when it cannot be used."""
        ...


@dataclass(frozen=True, kw_only=True)
class Live(Generic[V]):
    """What serves now: the arms, their salt, each arm's loaded version, and what may be asked."""

    variants: tuple[Variant, ...]
    salt: str
    versions: dict[str, V]
    contract: RequestContract

    def of(self, user_id: int | str) -> tuple[Variant, V]:
        """The user's arm and the version that serves it."""
        variant = assign(self.variants, salt=self.salt, user_id=user_id)
        return variant, self.versions[variant.version]

    def assigned(self, variant: Variant) -> Assigned:
        """The variant as an exposure logs it."""
        return Assigned(
            layer=MODEL_LAYER, variant=variant.name, epoch=epoch_of(self.variants, self.salt)
        )


def newest_rows(pool: VersionPool[V]) -> dict[str, float]:
    """View -> epoch seconds of the newest row that any live version has read of it."""
    newest: dict[str, float] = {}
    for version in pool.live.versions.values():
        for view, at in dict(version.online.newest).items():
            newest[view] = max(at, newest.get(view, 0.0))
    return newest


class VersionPool(Generic[V]):
    """Loads what the registry names and follows its changes.

    Args:
        registry: names a champion.
        load: loads and warms the version of a name.
        retry_s: how long a version that would not load is left alone.

    Raises:
        ModelVersionError: the champion cannot be loaded.
    """

    def __init__(
        self,
        registry: Source,
        *,
        load: Callable[[str], V],
        retry_s: float = 60.0,
    ) -> None:
        self._registry = registry
        self._load = load
        self._retry_s = retry_s
        self._refused: dict[str, float] = {}
        self._seen: RegistryState | None = None
        self._published: set[tuple[str, str]] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        state = registry.state()
        self.live = self._assemble(state, {}, first=True)
        self._seen = state
        self._publish(self.live)

    def watch(self, every_s: float) -> None:
        """Follow the registry from a thread of its own."""
        self._thread = threading.Thread(target=self._follow, args=(every_s,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def refresh(self) -> bool:
        """Take over the registry's state; True when what serves has changed.

        When the state or its champion cannot be used, what served before goes on serving.
        """
        state = self._registry.state()
        if state == self._seen and not self._due():
            return False
        live = self._assemble(state, self.live.versions, first=False)
        self._seen = state
        changed = (live.variants, live.salt) != (self.live.variants, self.live.salt)
        if changed:
            self._publish(live)
            self.live = live
        return changed

    def _follow(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.refresh()
            except HemixError as error:
                REGISTRY_ERRORS.inc()
                logger.error("The registry's change was not taken over: %s", error)
            except Exception:  # the watcher must outlive whatever a version's code raises
                REGISTRY_ERRORS.inc()
                logger.exception("The registry's change was not taken over.")

    def _due(self) -> bool:
        return any(time.monotonic() >= when for when in self._refused.values())

    def _assemble(self, state: RegistryState, loaded: dict[str, V], *, first: bool) -> Live[V]:
        if state.champion is None:
            raise ModelVersionError("The registry has no champion any more.")
        wanted = variants_of(state)
        versions: dict[str, V] = {}
        for variant in wanted:
            version = loaded.get(variant.version) or self._try(variant, first=first)
            if version is not None:
                versions[variant.version] = version
        if state.champion not in versions:
            raise ModelVersionError(
                f"Champion {state.champion} would not load; what served before goes on serving.",
                hint="Restore its folder, or roll it back: hemix models rollback VERSION.",
            )
        # An arm that would not load is empty: its users see the champion, no one else moves.
        arms = tuple(v for v in wanted if v.version in versions)
        return Live(
            variants=arms,
            salt=state.salt,
            versions=versions,
            contract=RequestContract.of(
                [(versions[v.version].definition, versions[v.version].types) for v in arms]
            ),
        )

    def _try(self, variant: Variant, *, first: bool) -> V | None:
        name = variant.version
        if time.monotonic() < self._refused.get(name, 0.0):
            return None
        try:
            version = self._load(name)
        except HemixError as error:
            self._refused[name] = time.monotonic() + self._retry_s
            VERSION_REFUSED.labels(name).set(1)
            logger.error("%s %s would not load: %s", variant.name, name, error)
            if first and variant.name == "champion":
                raise
            return None
        self._refused.pop(name, None)
        VERSION_REFUSED.labels(name).set(0)
        logger.info("%s %s is loaded and warm.", variant.name, name)
        return version

    def _publish(self, live: Live[V]) -> None:
        shares = {(v.name, v.version): v.share for v in live.variants[1:]}
        champion = live.variants[0]
        shares[champion.name, champion.version] = 1.0 - sum(shares.values())
        for arm in self._published - shares.keys():
            VERSION_LIVE.labels(*arm).set(0.0)
        for arm, share in shares.items():
            VERSION_LIVE.labels(*arm).set(share)
        self._published = set(shares)
