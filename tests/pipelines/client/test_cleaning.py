"""What goes by the retention policy is what nothing needs, in the right order, and is counted after."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hemix import s3, storage
from hemix.errors import DefinitionError, StorageError
from hemix.files import read_json
from hemix.pipelines.cleaning import records
from hemix.pipelines.cleaning.clean import Cleaned, Places, clean
from hemix.pipelines.cleaning.step import run
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.kfp_client.agreeing import kept_long_enough
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.runs import submit
from hemix.pipelines.retention import Retention
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.transitions import RegistryState, challenge, parse_state, state_bytes
from tests.kfp_server import KfpServer
from tests.kfp_server.timeline import Script
from tests.pipelines.client.conftest import Hemix

pytestmark = pytest.mark.usefixtures("no_waits")

NOW = datetime(2022, 5, 2, tzinfo=UTC) + timedelta(days=300)
POLICY = Retention.load()
STATE = {
    "champion": "v4",
    "champions": ["v1", "v2", "v4"],
    "challengers": [{"version": "v5", "share": 0.1}],
    "queue": [{"version": "v6", "share": 0.1}],
    "salt": "s",
    "versions": {
        "v0": "retired",
        "v1": "retired",
        "v2": "retired",
        "v3": "retired",
        "v4": "champion",
        "v5": "challenger",
        "v6": "candidate",
        "v7": "candidate",
    },
}
AGES = {"v0": 200, "v1": 150, "v2": 140, "v3": 20, "v4": 130, "v5": 250, "v6": 90, "v7": 40}


def state(now: datetime = NOW) -> RegistryState:
    """Champion v4, before it v2 and v1; v5 on trial, v6 next; v3 was retired a short while ago."""
    events = [
        {"when": (now - timedelta(days=days)).isoformat(), "who": "x", "what": "add", "version": v}
        for v, days in sorted(AGES.items(), key=lambda item: -item[1])
    ]
    return parse_state(json.dumps({**STATE, "history": events}).encode(), "test")


def put(path: Path, *, days: float, data: bytes = b"x" * 10) -> Path:
    """A file that was written ``days`` before NOW."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    when = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (when, when))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A registry, checkpoints and exposures; artifacts come with their runs."""
    root = tmp_path / "root"
    (root / "registry").mkdir(parents=True)
    (root / "registry" / "state.json").write_bytes(state_bytes(state()))
    for version in (*AGES, "never-added"):
        put(root / "registry" / "versions" / version / "model.pt2", days=AGES.get(version, 99))
    put(root / "registry" / "versions" / "being-added" / "model.pt2", days=0.1)
    put(root / "checkpoints" / "v1" / "checkpoint.safetensors", days=150)
    put(root / "checkpoints" / "v1" / "inputs" / "train" / "a.parquet", days=160)
    put(root / "checkpoints" / "v8" / "checkpoint.safetensors", days=1)
    put(root / "checkpoints" / "v8" / "inputs" / "train" / "a.parquet", days=99)
    for days in (10, 240, 260):
        hour = f"{NOW - timedelta(days=days):%Y-%m-%dT%H}"
        put(root / "exposures" / f"exposures-{hour}.jsonl", days=days)
    put(root / "exposures" / "notes.txt", days=999)
    for view, ages in (("user_state_1a", (0, 1, 40, 41)), ("retired_2b", (90,))):
        for days in ages:
            name = f"{NOW - timedelta(days=days):%Y%m%dT%H%M%S%fZ}.parquet"
            put(root / "feature_store" / "offline" / view / name, days=days)
    put(root / "feature_store" / "offline" / "README.md", days=999)
    put(root / "feature_store" / "snapshots" / "a" / "online.db", days=999)
    return root


def places(root: Path | str) -> Places:
    return Places(
        registry=storage.join(root, "registry"),
        checkpoints=storage.join(root, "checkpoints"),
        exposures=storage.join(root, "exposures"),
        feature_store=storage.join(root, "feature_store"),
        pipeline_root=storage.join(root, "pipeline"),
    )


def kinds(cleaned: Cleaned) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for removal in cleaned.removed:
        found.setdefault(removal.kind, set()).add(removal.name)
    return found


Made = Callable[..., str]


@pytest.fixture
def made(kfp: KfpServer, connection: Connection, small: str, root: Path) -> Made:
    """A run that ended ``days`` before NOW, with artifacts and the version that it deployed."""

    def make(days: float, version: str = "") -> str:
        kfp.advance(NOW - timedelta(days=days, hours=1) - kfp.now)
        told = submit("small", {"day": "a"}, connection=connection, compiled=small)
        kfp.advance(3600)
        folder = root / "pipeline" / "small" / told.run_id
        put(folder / "ingest" / "1" / "events" / "part.parquet", days=days)
        if version:
            text = json.dumps({"version": version}).encode()
            put(folder / "deploy" / "2" / "deployment", days=days, data=text)
        return told.run_id

    return make


def test_what_goes_and_what_stays(
    root: Path, made: Made, kfp: KfpServer, api: PipelinesApi
) -> None:
    champions_run, old, unrecorded = made(130, "v4"), made(100, "v3"), str(uuid.uuid4())
    recent = made(10)
    kfp.advance(NOW - kfp.now)
    put(root / "pipeline" / "small" / unrecorded / "x", days=70)
    begun = put(root / "pipeline" / "small" / str(uuid.uuid4()) / "x", days=1)
    foreign = put(root / "pipeline" / "small" / "notes" / "x", days=999)
    before = sorted(root.rglob("*"))
    writes = len(kfp.writes())

    told = clean(places(root), POLICY, api=api, cluster=None, dry_run=True, now=NOW)
    assert sorted(root.rglob("*")) == before
    assert len(kfp.writes()) == writes
    assert kinds(told) == {
        "run": {old, unrecorded},
        "version": {"v0", "v1", "v7", "never-added"},
        "checkpoints": {"v1"},
        "features": {  # not those of retired_2b: they are its newest
            f"user_state_1a/{NOW - timedelta(days=d):%Y%m%dT%H%M%S%fZ}.parquet" for d in (40, 41)
        },
        "exposures": {f"{NOW - timedelta(days=260):%Y-%m-%dT%H}"},  # v5's trial began 250 days ago
    }
    done = clean(places(root), POLICY, api=api, cluster=None, dry_run=False, now=NOW)
    assert done == told
    done.require_all()
    assert set(kfp.runs) == {champions_run, recent}
    assert {p.name for p in (root / "pipeline" / "small").iterdir()} == {
        *(champions_run, recent, "notes", begun.parent.name)
    }
    assert foreign.exists()
    after = open_registry(root / "registry").state()
    assert set(after.versions) == {"v2", "v3", "v4", "v5", "v6"}
    assert after.champions == ("v2", "v4")
    assert [(e.what, e.version) for e in after.history[-3:]] == [
        *(("retire", "v0"), ("retire", "v1"), ("retire", "v7"))
    ]
    left = {p.name for p in (root / "registry" / "versions").iterdir()}
    assert left == {"v2", "v3", "v4", "v5", "v6", "being-added"}
    assert {p.name for p in (root / "checkpoints").iterdir()} == {"v8"}
    kept = {p.name for p in (root / "feature_store").rglob("*") if p.is_file()}
    newest = {f"{NOW - timedelta(days=d):%Y%m%dT%H%M%S%fZ}.parquet" for d in (0, 1, 90)}
    assert kept == {*newest, "README.md", "online.db"}
    again = clean(places(root), POLICY, api=api, cluster=None, dry_run=False, now=NOW)
    assert again.removed == again.stubborn == ()


def test_while_a_run_may_read_others_artifacts_they_stay(
    root: Path, made: Made, kfp: KfpServer, connection: Connection, api: PipelinesApi, small: str
) -> None:
    """One that is active may have been given a cached output of any run that is still recorded."""
    old = made(100)
    kfp.advance(NOW - timedelta(minutes=1) - kfp.now)
    kfp.script = lambda _: Script(task_s=1e6)
    active = submit("small", {"day": "b"}, connection=connection, compiled=small).run_id
    kfp.advance(60)
    told = clean(places(root), POLICY, api=api, cluster=None, dry_run=False, now=NOW)
    assert "run" not in kinds(told)
    assert any(active in line for line in told.waiting)
    assert {old, active} <= set(kfp.runs)
    assert (root / "pipeline" / "small" / old).is_dir()
    # Its workflow is gone and its record says RUNNING for ever: it keeps nothing any more.
    kfp.advance(timedelta(days=9))
    later = NOW + timedelta(days=9)
    told = clean(places(root), POLICY, api=api, cluster=None, dry_run=False, now=later)
    assert kinds(told)["run"] == {old}
    assert any(f"lost: small-{NOW:%Y}" in line or active in line for line in told.waiting)


def test_a_run_that_begins_meanwhile_keeps_them(
    root: Path, made: Made, kfp: KfpServer, api: PipelinesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = made(100)
    kfp.advance(NOW - kfp.now)
    looks = [records.recorded(api)]
    looks.append(replace(looks[0], active=("nightly (1)",)))
    monkeypatch.setattr(records, "recorded", lambda _: looks.pop(0))
    told = clean(places(root), POLICY, api=api, cluster=None, dry_run=False, now=NOW)
    assert old not in kfp.runs
    assert (root / "pipeline" / "small" / old).is_dir()  # the next cleaning finds it unrecorded
    assert any("began meanwhile" in line for line in told.waiting)


def test_what_resists_is_named_and_keeps_nothing_else(
    root: Path, made: Made, kfp: KfpServer, connection: Connection, tmp_path: Path
) -> None:
    stubborn, old = made(110), made(100)
    kfp.advance(NOW - kfp.now)
    kfp.undeletable.add(stubborn)
    where = places(root)
    with pytest.raises(StorageError, match=f"1 of .*run {stubborn}.*Failed to delete"):
        run(
            where,
            policy="versions_days: 9999",
            dry_run=False,
            api=PipelinesApi(connection),
            cluster=None,
            out_cleaned=tmp_path / "cleaned.json",
        )
    assert (root / "pipeline" / "small" / stubborn).is_dir()  # its record stands, so it may be read
    assert not (root / "pipeline" / "small" / old).exists()
    told = read_json(tmp_path / "cleaned.json")
    assert [one.split(":")[0] for one in told["stubborn"]] == [f"run {stubborn}"]


def test_a_move_in_between_wins(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = open_registry(root / "registry")
    real = registry.move

    def late(move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        real(lambda now: challenge(now, "v7", share=0.2))
        return real(move)

    monkeypatch.setattr(registry, "move", late)
    monkeypatch.setattr("hemix.pipelines.cleaning.clean.open_registry", lambda _: registry)
    clean(places(root), POLICY, api=None, cluster=None, dry_run=False, now=NOW)
    assert registry.state().versions["v7"] == "challenger"
    assert (root / "registry" / "versions" / "v7").is_dir()
    assert "v0" not in registry.state().versions


@pytest.mark.services
def test_a_bucket_by_the_command_and_a_key_that_may_not_go(
    bucket: str, kfp: KfpServer, hemix: Hemix, tmp_path: Path
) -> None:
    """Siblings whose names begin alike stay; a refused object does not keep the others."""
    root = f"{bucket}/hemix"
    storage.write_bytes(f"{root}/registry/state.json", state_bytes(state()))
    (tmp_path / "version").mkdir()
    (tmp_path / "version" / "model.pt2").write_bytes(b"x" * 50)
    for version in ("v0", "v01", "v4"):
        storage.upload(tmp_path / "version", f"{root}/registry/versions/{version}")
    storage.write_bytes(f"{bucket}/hemix-backup/registry/versions/v0/model.pt2", b"x")
    code, out, _ = hemix("clean", root, "--dry-run")
    assert code == 0
    assert "version v0: serves no one" in out
    assert "v01" not in out

    def refuse(request: Any, **_: Any) -> Any:
        import botocore.awsrequest

        if not request.url.endswith("/v0/model.pt2"):
            return None
        answer = botocore.awsrequest.AWSResponse(request.url, 403, {}, None)
        answer._content = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        return answer

    client = s3._client()
    client.meta.events.register("before-send.s3.DeleteObject", refuse)
    code, _, err = hemix("clean", root)
    assert code == StorageError.exit_code
    assert "version v0: 1 files" in err
    assert "refused access" in err
    assert not storage.is_complete(f"{root}/registry/versions/v0")  # no one takes it for whole
    client.meta.events.unregister("before-send.s3.DeleteObject", refuse)
    storage.write_bytes(f"{root}/pipeline/x/y", b"")
    code, _, err = hemix("clean", root, "--policy", "absent.yaml")
    assert code == DefinitionError.exit_code
    code, out, err = hemix("clean", root)
    assert (code, err) == (0, "")
    left = storage.list_files(f"{root}/registry/versions")
    assert left == [*(".complete/v01.json", ".complete/v4.json", "v01/model.pt2", "v4/model.pt2")]
    assert storage.list_files(f"{bucket}/hemix-backup") == ["registry/versions/v0/model.pt2"]


def test_the_policy_and_places_that_cannot_be() -> None:
    assert Retention.parse("") == POLICY
    with pytest.raises(DefinitionError, match="champions"):
        Retention.parse("champions: 1")
    with pytest.raises(DefinitionError, match="run_days"):
        Retention.parse("run_days: 10")
    with pytest.raises(DefinitionError, match="whole bucket"):
        Places(registry="s3://bucket/r", pipeline_root="s3://bucket/")
    settings = ClusterSettings.load()
    kept_long_enough("", settings)
    with pytest.raises(DefinitionError, match=r"checkpoints_days: 3: a step may take 3\.8 days"):
        kept_long_enough("checkpoints_days: 3", settings)
