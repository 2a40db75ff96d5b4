"""Publishing keeps what serves, repeats without effect, refuses to go back in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from features.store import OnlineFeatures, build_repository, publish
from features.store import materialise as materialise_module
from hemix.errors import DefinitionError, FeatureStoreError
from hemix.files import sha256_folder
from tests.features.store import data

_databases = count(1)


@pytest.fixture
def store(online_store: str) -> str:
    """The setting of a store that no other test writes to."""
    if online_store == "sqlite":
        return online_store
    return f"{online_store.rsplit('/', 1)[0]}/{next(_databases)}"


@pytest.fixture
def build(tmp_path: Path, store: str) -> Callable[..., Path]:
    """Build a repository: name of the service, instant, shift of the counters, definition keys."""

    def make(service: str, as_of: datetime = data.AS_OF, shift: int = 0, **definition: Any) -> Path:
        folder = tmp_path / f"{service}-{as_of:%H}-{shift}"
        events, state = data.write_log(folder, as_of=as_of, shift=shift)
        made = data.definition(**definition)
        out = folder / "repository"
        build_repository(made, data.TYPES, events, state, as_of, service, out, online_store=store)
        return out

    return make


def _clicks(live: Path, service: str) -> list[int]:
    online = OnlineFeatures(live, service, timeout_s=10)
    user, items = online.read(1, ["a", "only-in-events"])
    assert user.known.all()
    assert items.known.all()
    assert user.columns["history_item_id"][0].tolist()[-1] == "a"
    return [int(user.columns["user_click_1h"][0]), *items.columns["item_click_1h"].tolist()]


def _definition_with_longer_history() -> dict[str, Any]:
    return {"sequences": {"columns": ["author_id"], "global_length": 5, "realtime_length": 3}}


def test_publishing_twice_changes_nothing(
    build: Callable[..., Path], tmp_path: Path, store: str
) -> None:
    repository, live = build("ranker_v1"), tmp_path / "live"
    publish(repository, live)
    first = sha256_folder(live)
    publish(repository, live, store)
    assert {k: v for k, v in sha256_folder(live).items() if "online" not in k} == {
        k: v for k, v in first.items() if "online" not in k
    }
    assert _clicks(live, "ranker_v1") == [6, 3, 6]
    assert not [p for p in live.iterdir() if p.suffix == ".tmp"]


def test_another_definition_leaves_the_champions_views_alone(
    build: Callable[..., Path], tmp_path: Path
) -> None:
    live = tmp_path / "live"
    publish(build("ranker_v1"), live)
    publish(build("ranker_v2", shift=100, **_definition_with_longer_history()), live)
    assert _clicks(live, "ranker_v1") == [6, 3, 6]
    assert _clicks(live, "ranker_v2") == [106, 103, 106]


def test_the_same_definition_refreshes_shared_views_but_never_backwards(
    build: Callable[..., Path], tmp_path: Path
) -> None:
    live, later = tmp_path / "live", data.AS_OF + timedelta(hours=2)
    publish(build("ranker_v1"), live)
    publish(build("ranker_v2", later, shift=10), live)
    assert _clicks(live, "ranker_v1") == _clicks(live, "ranker_v2") == [16, 13, 16]
    publish(build("ranker_v0", shift=50), live)
    assert _clicks(live, "ranker_v0") == _clicks(live, "ranker_v2") == [16, 13, 16]


def test_corrected_rows_of_the_same_instant_win(build: Callable[..., Path], tmp_path: Path) -> None:
    live = tmp_path / "live"
    publish(build("ranker_v1"), live)
    publish(build("ranker_v1", shift=5), live)
    assert _clicks(live, "ranker_v1") == [11, 8, 11]


def test_a_publish_that_dies_leaves_the_old_service_and_can_be_repeated(
    build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = tmp_path / "live"
    publish(build("ranker_v1"), live)
    second = build("ranker_v2", shift=100, **_definition_with_longer_history())
    said: list[str] = []

    def die(message: str) -> None:
        said.append(message)
        if len(said) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(materialise_module, "say", die)
    with pytest.raises(KeyboardInterrupt):
        publish(second, live)
    monkeypatch.undo()
    assert _clicks(live, "ranker_v1") == [6, 3, 6]
    with pytest.raises(FeatureStoreError, match="ranker_v2"):
        OnlineFeatures(live, "ranker_v2")
    publish(second, live)
    assert _clicks(live, "ranker_v2") == [106, 103, 106]


def test_a_live_store_of_another_kind_is_refused(
    build: Callable[..., Path], tmp_path: Path, store: str
) -> None:
    live = tmp_path / "live"
    repository = build("ranker_v1")
    publish(repository, live)
    other = "redis://127.0.0.1:1/0" if store == "sqlite" else "sqlite"
    with pytest.raises(FeatureStoreError, match="is not"):
        publish(repository, live, other)
    assert _clicks(live, "ranker_v1") == [6, 3, 6]


@pytest.mark.parametrize("text", ["mysql", "redis://", "redis://h:port/0", "redis://h:1/x", ""])
def test_a_setting_that_is_no_store_is_named(text: str) -> None:
    from features.store.settings import online_settings

    with pytest.raises(DefinitionError, match="online_store"):
        online_settings(text)
