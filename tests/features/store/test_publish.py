"""Publishing keeps what serves, repeats without effect, refuses to go back in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hemix.errors import DefinitionError, FeatureStoreError
from hemix.features.store import OnlineFeatures, build_repository
from hemix.features.store import materialise as materialise_module
from hemix.features.store import publish as publish_to
from hemix.features.store.remote import live_folder
from hemix.features.store.settings import (
    LIVE_PROJECT,
    REDIS_PASSWORD,
    read_settings,
    write_settings,
)
from hemix.files import sha256_folder
from hemix.storage import is_remote, join, list_files, read_bytes
from tests.features.store import data
from tests.features.store.servers import free_port, make_database

pytestmark = pytest.mark.services

Build = Callable[..., Path]
Publish = Callable[[Path], object]
_databases = count(1)


@dataclass(frozen=True)
class Place:
    """A live store that no other test writes to: where it is, its rows, its registry."""

    live: str
    online: str
    registry: str

    def files(self) -> dict[str, str]:
        """Everything that lies there but the rows, with digests."""
        if is_remote(self.live):
            names = [n for n in list_files(self.live) if not n.startswith("lock")]
            return {n: sha256(read_bytes(join(self.live, n)) or b"").hexdigest() for n in names}
        return {k: v for k, v in sha256_folder(Path(self.live)).items() if "online" not in k}


@pytest.fixture(
    params=[
        ("sqlite", "file", "folder"),
        ("redis", "file", "folder"),
        ("redis", "postgresql", "folder"),
        ("sqlite", "sqlite", "s3"),
        ("redis", "postgresql", "s3"),
    ],
    ids="-".join,
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    online, registry, kind = request.param
    number = next(_databases)
    if online == "redis":
        online = f"{request.getfixturevalue('redis_server')}/{number % 64}"
    if registry == "postgresql":
        server = request.getfixturevalue("postgres_server")
        registry = make_database(server, f"live_{number}")
    live = str(tmp_path / "live")
    if kind == "s3":
        live = f"{request.getfixturevalue('bucket')}/run/feature_store"
    return Place(live, online, registry)


@pytest.fixture
def publish(place: Place) -> Publish:
    """Publish a repository to the place."""
    return lambda repository: publish_to(repository, place.live, feature_registry=place.registry)


@pytest.fixture
def build(tmp_path: Path, place: Place) -> Build:
    """Build a repository: name of the service, instant, shift of the counters, definition keys."""

    def make(service: str, as_of: datetime = data.AS_OF, shift: int = 0, **definition: Any) -> Path:
        folder = tmp_path / f"{service}-{as_of:%H}-{shift}"
        events, state = data.write_log(folder, as_of=as_of, shift=shift)
        made = data.definition(**definition)
        out = folder / "repository"
        build_repository(
            made, data.TYPES, events, state, as_of, service, out, online_store=place.online
        )
        return out

    return make


def _clicks(place: Place, service: str) -> list[int]:
    online = OnlineFeatures(place.live, service, timeout_s=10)
    user, items = online.read(1, ["a", "only-in-events"])
    assert user.known.all()
    assert items.known.all()
    assert user.columns["history_item_id"][0].tolist()[-1] == "a"
    return [int(user.columns["user_click_1h"][0]), *items.columns["item_click_1h"].tolist()]


def _definition_with_longer_history() -> dict[str, Any]:
    return {"sequences": {"columns": ["author_id"], "global_length": 5, "realtime_length": 3}}


def test_publishing_twice_changes_nothing(build: Build, publish: Publish, place: Place) -> None:
    repository = build("ranker_v1")
    publish(repository)
    first = place.files()
    publish(repository)
    assert place.files() == first
    assert _clicks(place, "ranker_v1") == [6, 3, 6]
    assert not [name for name in first if name.endswith(".tmp")]


def test_another_definition_leaves_the_champions_views_alone(
    build: Build, publish: Publish, place: Place
) -> None:
    publish(build("ranker_v1"))
    publish(build("ranker_v2", shift=100, **_definition_with_longer_history()))
    assert _clicks(place, "ranker_v1") == [6, 3, 6]
    assert _clicks(place, "ranker_v2") == [106, 103, 106]


def test_the_same_definition_refreshes_shared_views_but_never_backwards(
    build: Build, publish: Publish, place: Place
) -> None:
    later = data.AS_OF + timedelta(hours=2)
    publish(build("ranker_v1"))
    publish(build("ranker_v2", later, shift=10))
    assert _clicks(place, "ranker_v1") == _clicks(place, "ranker_v2") == [16, 13, 16]
    publish(build("ranker_v0", shift=50))
    assert _clicks(place, "ranker_v0") == _clicks(place, "ranker_v2") == [16, 13, 16]


def test_corrected_rows_of_the_same_instant_win(
    build: Build, publish: Publish, place: Place
) -> None:
    publish(build("ranker_v1"))
    publish(build("ranker_v1", shift=5))
    assert _clicks(place, "ranker_v1") == [11, 8, 11]


def test_a_publish_that_dies_leaves_the_old_service_and_can_be_repeated(
    build: Build, publish: Publish, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(build("ranker_v1"))
    second = build("ranker_v2", shift=100, **_definition_with_longer_history())
    said: list[str] = []

    def die(message: str) -> None:
        said.append(message)
        if len(said) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(materialise_module, "say", die)
        with pytest.raises(KeyboardInterrupt):
            publish(second)
    assert _clicks(place, "ranker_v1") == [6, 3, 6]
    with pytest.raises(FeatureStoreError, match="ranker_v2"):
        OnlineFeatures(place.live, "ranker_v2")
    publish(second)
    assert _clicks(place, "ranker_v2") == [106, 103, 106]


def test_a_live_store_of_another_kind_is_refused(
    build: Build, publish: Publish, place: Place
) -> None:
    repository = build("ranker_v1")
    publish(repository)
    other = "redis://127.0.0.1:1/0" if place.online == "sqlite" else "sqlite"
    with pytest.raises(FeatureStoreError, match="is not"):
        publish_to(repository, place.live, other)
    another = "sqlite" if place.registry == "file" else "file"
    with pytest.raises(FeatureStoreError, match=f"is not registered in {another}"):
        publish_to(repository, place.live, place.online, another)
    assert _clicks(place, "ranker_v1") == [6, 3, 6]


@pytest.mark.parametrize("place", [("sqlite", "file", "folder")], indirect=True, ids=["sqlite"])
def test_a_live_store_in_feasts_own_layout_goes_on(
    build: Build, publish: Publish, place: Place
) -> None:
    live = Path(place.live)
    live.mkdir()
    feasts_own = {"type": "sqlite", "path": "online.db"}
    write_settings(live, project=LIVE_PROJECT, online=feasts_own)
    publish(build("ranker_v1"))
    assert read_settings(live)["online_store"] == feasts_own
    assert _clicks(place, "ranker_v1") == [6, 3, 6]


def test_no_password_is_written_to_a_file(build: Build, publish: Publish, place: Place) -> None:
    publish(build("ranker_v1"))
    folder = live_folder(place.live)
    text = (folder / "feature_store.yaml").read_text()
    assert "feast" in text or "sqlite" in place.registry or place.registry == "file"
    assert "password" not in text


def test_a_registry_that_is_gone_is_an_error_in_time(build: Build, place: Place) -> None:
    gone = f"postgresql://feast@127.0.0.1:{free_port()}/live"
    with pytest.raises(FeatureStoreError, match="OperationalError"):
        publish_to(build("ranker_v1"), place.live, feature_registry=gone)


def test_a_redis_that_wants_a_password_says_so(
    redis_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(REDIS_PASSWORD)
    events, state = data.write_log(tmp_path)
    with pytest.raises(FeatureStoreError, match=r"HEMIX_REDIS_PASSWORD"):
        build_repository(
            data.definition(),
            data.TYPES,
            events,
            state,
            data.AS_OF,
            "ranker_v1",
            tmp_path / "repository",
            online_store=f"{redis_server}/0",
        )
    assert not (tmp_path / "repository").exists()


def test_the_environment_names_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository: Path
) -> None:
    monkeypatch.setenv("HEMIX_FEATURE_REGISTRY", "sqlite")
    publish_to(repository, tmp_path / "live")
    assert (tmp_path / "live" / "registry.sqlite").is_file()
    monkeypatch.delenv("HEMIX_FEATURE_REGISTRY")
    publish_to(repository, tmp_path / "live")
    assert not (tmp_path / "live" / "registry.db").exists()


@pytest.mark.parametrize("text", ["mysql", "redis://", "redis://h:port/0", "redis://h:1/x", ""])
def test_a_setting_that_is_no_store_is_named(text: str) -> None:
    from hemix.features.store.settings import online_settings

    with pytest.raises(DefinitionError, match="online_store"):
        online_settings(text)


def test_a_password_in_the_address_is_refused() -> None:
    from hemix.features.store.settings import online_settings, registry_settings

    with pytest.raises(DefinitionError, match="HEMIX_REDIS_PASSWORD") as found:
        online_settings("redis://:geheim@h:1/0")
    assert "geheim" not in str(found.value)
    with pytest.raises(DefinitionError, match="PGPASSWORD") as found:
        registry_settings("postgresql://me:geheim@h/db")
    assert "geheim" not in str(found.value)


@pytest.mark.parametrize("text", ["mysql", "postgresql://h:port/d", "postgresql://h", ""])
def test_a_setting_that_is_no_registry_is_named(text: str) -> None:
    from hemix.features.store.settings import registry_settings

    with pytest.raises(DefinitionError, match="feature_registry"):
        registry_settings(text)
