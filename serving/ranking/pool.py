"""The versions that are live: loaded and warm, exchanged as a whole when the registry changes.

A request takes :attr:`VersionPool.live` once and keeps it to its end, so that it never sees half a
change; what it holds stays in memory until it is done.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from hemix.errors import HemixError, ModelVersionError, RegistryError
from hemix.serving.experiments.assignment import (
    MODEL_LAYER,
    Assigned,
    Variant,
    assign,
    epoch_of,
    variants_of,
)
from hemix.serving.messages.request import RequestContract
from hemix.serving.metrics import REGISTRY_ERRORS, VERSION_LIVE
from hemix.serving.ranking.loaded_version import Version
from hemix.serving.ranking.loading import Loader
from hemix.serving.registry.transitions import RegistryState

logger = logging.getLogger("hemix.serving")

V = TypeVar("V", bound=Version)


class Source(Protocol):
    """Who says what serves: a registry, or a predictors file."""

    def state(self) -> RegistryState:
        """The state now; RegistryError when it cannot be used."""
        ...


@dataclass(frozen=True, kw_only=True)
class Live(Generic[V]):
    """What serves now: the arms, their salt, the loaded versions, and what may be asked.

    An arm whose version is not among ``versions`` keeps its users: the champion answers them, so
    that no one moves to another arm and an analysis compares those who were assigned.
    """

    variants: tuple[Variant, ...]
    salt: str
    versions: dict[str, V]
    contract: RequestContract

    @property
    def champion(self) -> V:
        return self.versions[self.variants[0].version]

    def route(self, user_id: int | str) -> tuple[Variant, V]:
        """The user's arm and the version that serves it, the champion when its own does not."""
        variant = assign(self.variants, salt=self.salt, user_id=user_id)
        return variant, self.versions.get(variant.version) or self.champion

    def serving(self) -> list[str]:
        """Names of the versions that answer, the champion first."""
        names = (variant.version for variant in self.variants)
        return [name for name in dict.fromkeys(names) if name in self.versions]

    def without(self, version: str) -> Live[V]:
        """The same arms; ``version``, which is not the champion, answers no more."""
        versions = {name: v for name, v in self.versions.items() if name != version}
        return replace(self, versions=versions)

    def assigned(self, variant: Variant) -> Assigned:
        """The variant as an exposure logs it."""
        return Assigned(
            layer=MODEL_LAYER, variant=variant.name, epoch=epoch_of(self.variants, self.salt)
        )


def newest_feature_timestamps(pool: VersionPool[V]) -> dict[str, float]:
    """View -> epoch seconds of the newest row that any live version has read of it."""
    newest: dict[str, float] = {}
    for version in pool.live.versions.values():
        for view, at in dict(version.online.newest).items():
            newest[view] = max(at, newest.get(view, 0.0))
    return newest


class VersionPool(Generic[V]):
    """Loads what the registry names and follows its changes.

    A champion that does not load is stood in for by the one that serves, at the start by the latest
    champion before it that loads; everything else that the registry says holds all the same.

    Args:
        registry: names a champion.
        loader: loads versions, and remembers which it refused.

    Raises:
        HemixError: neither the champion nor one before it can be loaded; the champion's own error.
    """

    def __init__(self, registry: Source, loader: Loader[V]) -> None:
        self._registry = registry
        self._loader = loader
        self._live: Live[V] | None = None
        self._lock = threading.Lock()
        self._taken_out: list[tuple[str, HemixError]] = []
        self._published: set[tuple[str, str]] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._said = ""
        self._seen = registry.state()
        self._live = self._assemble(self._seen)
        self._publish(self._live)

    @property
    def live(self) -> Live[V]:
        """What serves now."""
        assert self._live is not None
        return self._live

    def watch(self, every_s: float) -> None:
        """Follow the registry from a thread of its own."""
        self._thread = threading.Thread(target=self._follow, args=(every_s,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def take_out(self, version: str, error: HemixError) -> None:
        """Let a challenger that failed in service answer no more; the champion answers its users."""
        with self._lock:
            if version in self.live.versions and version != self.live.champion.name:
                self._live = self.live.without(version)
                self._taken_out.append((version, error))

    def refresh(self) -> bool:
        """Take over the registry's state; True when what serves has changed.

        When the state cannot be used, what served before goes on serving.
        """
        with self._lock:
            taken_out, self._taken_out = self._taken_out, []
        for version, error in taken_out:
            self._loader.refuse(version, "failures", error)
        state = self._registry.state()
        if state == self._seen and not self._loader.due() and not taken_out:
            return False
        live = self._assemble(state)
        self._seen = state
        with self._lock:
            for version, _ in self._taken_out:
                live = live.without(version)
            changed = bool(taken_out) or live != self._live
            self._live = live
        self._publish(live)
        return changed

    def _follow(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.refresh()
                self._said = ""
            except Exception as error:  # the watcher must outlive whatever a version's code raises
                REGISTRY_ERRORS.inc()
                if str(error) != self._said:  # and not once every two seconds
                    known = isinstance(error, HemixError)
                    logger.error(
                        "The registry's change was not taken over: %s", error, exc_info=not known
                    )
                self._said = str(error)

    def _assemble(self, state: RegistryState) -> Live[V]:
        if state.champion is None:
            raise RegistryError("The registry has no champion any more.")
        arms = variants_of(state)
        versions: dict[str, V] = {}
        for arm in arms:
            version = self._loader.get(arm.version)
            if version is not None:
                versions[arm.version] = version
        champion = versions.get(state.champion) or self._stand_in(state)
        versions[champion.name] = champion
        arms = (replace(arms[0], version=champion.name), *arms[1:])
        for name, version in list(versions.items()):
            if misfit := _misfit(champion, version):
                error = ModelVersionError(
                    f"Version {name} cannot be asked for what {champion.name} is: {misfit}."
                )
                self._loader.refuse(name, "types", error)
                del versions[name]
        self._loader.keep({champion.name, state.champion, *(arm.version for arm in arms)})
        ordered = [champion, *(v for name, v in versions.items() if name != champion.name)]
        return Live(
            variants=arms,
            salt=state.salt,
            versions=versions,
            contract=RequestContract.of([(v.definition, v.types) for v in ordered]),
        )

    def _stand_in(self, state: RegistryState) -> V:
        assert state.champion is not None
        if self._live is not None:
            return self._live.champion
        refusal = self._loader.refused[state.champion]
        for name in dict.fromkeys(reversed(state.champions)):
            if name != state.champion and (version := self._loader.get(name)) is not None:
                logger.error("%s, the champion before %s, serves.", name, state.champion)
                return version
        raise refusal.error

    def _publish(self, live: Live[V]) -> None:
        shares = {
            (v.name, v.version): v.share if v.version in live.versions else 0.0
            for v in live.variants[1:]
        }
        champion = live.variants[0]
        shares[champion.name, champion.version] = 1.0 - sum(shares.values())
        for arm in self._published - shares.keys():
            VERSION_LIVE.labels(*arm).set(0.0)
        for arm, share in shares.items():
            VERSION_LIVE.labels(*arm).set(share)
        self._published = set(shares)


def _misfit(champion: Version, version: Version) -> str:
    """What the champion's clients give in another type than ``version`` takes; empty when nothing."""
    own, theirs = (RequestContract.of([(v.definition, v.types)]) for v in (champion, version))
    fields = {"user_id": (own.user_id, theirs.user_id), "item_ids": (own.item_id, theirs.item_id)}
    for name in own.context.keys() & theirs.context.keys():
        fields[f"context.{name}"] = (own.context[name], theirs.context[name])
    for name in own.candidates.keys() & theirs.candidates.keys():
        fields[f"candidates.{name}"] = (own.candidates[name], theirs.candidates[name])
    for one, other, told in (
        (
            own.context,
            theirs.candidates,
            "each candidate has its own {}, the champion's request one",
        ),
        (
            own.candidates,
            theirs.context,
            "a request has one {}, the champion's candidates their own",
        ),
    ):
        if names := sorted(one.keys() & other.keys()):
            return told.format(names[0])
    for name, (ours, given) in fields.items():
        if ours != given:
            return f"its {name} is {given}, the champion's {ours}"
    return ""
