"""Which versions serve when some of them do not load, hang, do not fit, or fail in service."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client import REGISTRY

from hemix.errors import FeatureStoreError, HemixError, ModelVersionError, RegistryError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.serving.messages.soundness import UnsoundScores
from hemix.serving.ranking.loading import Loader
from hemix.serving.ranking.pool import VersionPool, _misfit
from hemix.serving.registry.registry import FolderRegistry
from hemix.serving.registry.transitions import Challenger, RegistryState, state_bytes
from tests.features.store.data import TYPES, definition


@dataclass(frozen=True, kw_only=True)
class Ready:
    """All that the pool looks at in a version."""

    name: str
    definition: DatasetDefinition = field(default_factory=definition)
    types: ColumnTypes = TYPES


class Shelf:
    """Loads versions as a test says, and counts how often."""

    def __init__(self) -> None:
        self.bad: dict[str, Exception | Callable[[], Any]] = {}
        self.types: dict[str, ColumnTypes] = {}
        self.asked: Counter[str] = Counter()
        self.files: dict[str, int] = {}

    def load(self, name: str) -> Ready:
        self.asked[name] += 1
        what = self.bad.get(name)
        if isinstance(what, Exception):
            raise what
        if what is not None:
            what()
        return Ready(name=name, types=self.types.get(name, TYPES))


@dataclass
class Named:
    """What the registry says; ``state()`` as a registry's."""

    now: RegistryState

    def state(self) -> RegistryState:
        return self.now


def says(champion: str, *challengers: str, before: tuple[str, ...] = ()) -> RegistryState:
    return RegistryState(
        champion=champion,
        challengers=tuple(Challenger(version=name, share=0.2) for name in challengers),
        salt="s",
        champions=(*before, champion),
        versions={
            **dict.fromkeys(before, "retired"),
            **dict.fromkeys(challengers, "challenger"),
            champion: "champion",
        },
    )


def pool_of(shelf: Shelf, named: Named, **options: Any) -> VersionPool[Any]:
    loader = Loader(shelf.load, files=lambda name: shelf.files.get(name, 0), **options)
    return VersionPool(named, loader)


def served(pool: VersionPool[Any]) -> set[tuple[str, str]]:
    """Variants and the versions that answer them."""
    found = (pool.live.route(user) for user in range(300))
    return {(variant.name, version.name) for variant, version in found}


def refused(version: str, reason: str) -> float | None:
    labels = {"version": version, "reason": reason}
    return REGISTRY.get_sample_value("hemix_version_refused", labels)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelVersionError("manifest.json: spec: field required."), "files"),
        (FeatureStoreError("no such service"), "features"),
        (UnsoundScores("nan"), "scores"),
        (MemoryError(), "error"),
        (SystemError("bad graph"), "error"),
        (KeyError("config"), "error"),
        (RecursionError(), "error"),
        (SystemExit(3), "error"),
    ],
)
def test_whatever_a_challengers_loading_raises_the_champion_answers(
    error: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("hemix").propagate = True
    shelf = Shelf()

    def fail() -> None:
        raise error

    shelf.bad["bad"] = fail
    pool = pool_of(shelf, Named(says("good", "bad")))
    assert served(pool) == {("champion", "good"), ("challenger", "good")}
    assert refused("bad", reason) == 1
    for _ in range(5):
        assert not pool.refresh()
    assert shelf.asked == {"good": 1, "bad": 1}
    assert sum("Version bad is refused" in line for line in caplog.messages) == 1


def test_a_version_is_tried_again_when_its_files_change_or_its_rest_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, named = Shelf(), Named(says("good", "bad"))
    shelf.bad["bad"] = ModelVersionError("half a file")
    clock = [0.0]
    monkeypatch.setattr("hemix.serving.ranking.loading.time.monotonic", lambda: clock[0])
    pool = pool_of(shelf, named, retry_s=10, longest_s=30)
    tries = []
    for second in range(1, 121):
        clock[0] = float(second)
        before = shelf.asked["bad"]
        pool.refresh()
        tries += [second] * (shelf.asked["bad"] - before)
    assert tries == [10, 30, 60, 90, 120], "rests of 10, 20, 30, 30 and 30 seconds"
    shelf.files["bad"] = 1
    del shelf.bad["bad"]
    assert pool.refresh()
    assert served(pool) == {("champion", "good"), ("challenger", "bad")}
    assert refused("bad", "files") == 0


def test_a_good_challenger_serves_though_the_new_champion_does_not_load() -> None:
    shelf, named = Shelf(), Named(says("old"))
    pool = pool_of(shelf, named)
    shelf.bad["new"] = ModelVersionError("weights are missing")
    named.now = says("new", "fresh", before=("old",))
    assert pool.refresh()
    assert served(pool) == {("champion", "old"), ("challenger", "fresh")}
    for share in (0.3, 0.4):  # other changes go on
        challenger = Challenger(version="fresh", share=share)
        named.now = named.now.model_copy(update={"challengers": (challenger,)})
        assert pool.refresh()
        assert pool.live.variants[1].share == share
    assert shelf.asked == {"old": 1, "new": 1, "fresh": 1}, "loaded once, and kept"
    shelf.files["new"] = 1
    del shelf.bad["new"]
    assert pool.refresh()
    assert served(pool) == {("champion", "new"), ("challenger", "fresh")}


def test_at_the_start_the_champion_before_stands_in() -> None:
    shelf = Shelf()
    shelf.bad = {name: ModelVersionError(f"{name} is broken") for name in ("new", "middle")}
    named = Named(says("new", before=("oldest", "middle")))
    pool = pool_of(shelf, named)
    assert served(pool) == {("champion", "oldest")}
    assert pool.live.variants[0].version == "oldest"
    shelf.bad["oldest"] = ModelVersionError("oldest is broken")
    with pytest.raises(ModelVersionError, match="new is broken"):
        pool_of(shelf, named)


def test_a_version_that_hangs_is_refused_and_holds_nobody_up() -> None:
    shelf, named = Shelf(), Named(says("good", "slow"))
    go = threading.Event()
    shelf.bad["slow"] = lambda: go.wait(60)
    pool = pool_of(shelf, named, limit_s=0.5, retry_s=0.0)
    assert served(pool) == {("champion", "good"), ("challenger", "good")}
    assert refused("slow", "hang") == 1
    for _ in range(5):
        pool.refresh()
    assert shelf.asked["slow"] == 1, "no second attempt while the first one hangs"
    go.set()
    while not pool.refresh():
        pass
    assert served(pool) == {("champion", "good"), ("challenger", "slow")}
    assert shelf.asked["slow"] == 1


def test_a_version_that_takes_other_ids_than_the_champion_is_refused() -> None:
    shelf = Shelf()
    shelf.types = {
        "texts": replace(TYPES, user_id=pa.string()),
        "tabs": replace(TYPES, context={**TYPES.context, "tab": pa.string()}),
    }
    for name, field_ in (("texts", "user_id"), ("tabs", "context.tab")):
        pool = pool_of(shelf, Named(says("good", name)))
        assert served(pool) == {("champion", "good"), ("challenger", "good")}
        assert refused(name, "types") == 1
        error = pool._loader.refused[name].error
        assert f"its {field_} is text, the champion's int" in str(error)


def test_a_challenger_that_is_taken_out_keeps_its_users() -> None:
    shelf, named = Shelf(), Named(says("good", "second", "third"))
    pool = pool_of(shelf, named)
    before = {user: pool.live.route(user)[0].name for user in range(300)}
    epoch = pool.live.assigned(pool.live.variants[1]).epoch
    pool.take_out("second", ModelVersionError("it failed too often"))
    assert served(pool) == {
        ("champion", "good"),
        ("challenger_1", "good"),
        ("challenger_2", "third"),
    }
    assert {user: pool.live.route(user)[0].name for user in range(300)} == before
    assert pool.live.assigned(pool.live.variants[1]).epoch == epoch
    assert pool.refresh()
    assert refused("second", "failures") == 1
    assert shelf.asked["second"] == 1, "it is not loaded again at once"
    pool.take_out("good", ModelVersionError("the champion stays"))
    assert pool.live.champion.name == "good"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"challengers": [{"version": "a", "share": 0.6}, {"version": "b", "share": 0.6}]}, "1"),
        ({"challengers": [{"version": "a", "share": 0.1}] * 2}, "a is given twice"),
        ({"challengers": [{"version": "a", "share": 7}]}, "share"),
        ({"challengers": [{"version": "a", "share": "nan"}]}, "share"),
        ({"challengers": [{"version": "good", "share": 0.1}]}, "champion and challenger"),
        ({"challengers": [{"version": "gone", "share": 0.1}]}, "gone serves"),
        ({"champion": "gone"}, "gone serves"),
        ({"champion": None}, "no champion"),
        ({"versions": ["good"]}, "versions"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_state_that_makes_no_sense_changes_nothing(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    import json

    registry = FolderRegistry(tmp_path)
    good = says("good").model_copy(
        update={"versions": {"good": "champion", "a": "candidate", "b": "candidate"}}
    )
    registry.state_path.write_bytes(state_bytes(good))
    pool: VersionPool[Any] = VersionPool(registry, Loader(Shelf().load))
    odd = {**json.loads(state_bytes(good)), **change}
    registry.state_path.write_text(json.dumps(odd))
    with pytest.raises(HemixError, match=message):
        pool.refresh()
    assert served(pool) == {("champion", "good")}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'"x"', b"[" * 100_000, None])
def test_a_state_that_cannot_be_read_is_said_once(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("hemix").propagate = True
    registry = FolderRegistry(tmp_path)
    registry.state_path.write_bytes(state_bytes(says("good")))
    pool: VersionPool[Any] = VersionPool(registry, Loader(Shelf().load))
    registry.state_path.unlink()
    if content is None:
        registry.state_path.mkdir()
    else:
        registry.state_path.write_bytes(content)
    pool.watch(0.01)
    name = "hemix_registry_errors_total"
    start = REGISTRY.get_sample_value(name) or 0.0
    while (REGISTRY.get_sample_value(name) or 0.0) < start + 5:
        pass
    pool.close()
    assert served(pool) == {("champion", "good")}
    lines = [line for line in caplog.messages if "was not taken over" in line]
    assert len(lines) == 1
    assert "state.json" in lines[0]


def test_a_huge_state_is_not_read(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path)
    with registry.state_path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RegistryError, match=r"state\.json: is larger than"):
        registry.state()


def test_a_version_that_asks_candidates_for_what_the_champion_asks_the_request_is_refused() -> None:
    own = {"numeric": [{"name": "age"}, {"name": "price"}, {"name": "battery", "per": "candidate"}]}
    for kinds, told in (
        (({}, own), "each candidate has its own battery, the champion's request one"),
        ((own, {}), "a request has one battery, the champion's candidates their own"),
    ):
        champion, other = (
            Ready(name=str(n), definition=definition(**kind)) for n, kind in enumerate(kinds)
        )
        assert _misfit(champion, champion) == ""  # type: ignore[arg-type]
        assert _misfit(champion, other) == told  # type: ignore[arg-type]
