"""The step on the small run: a whole repository and a passed verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hemix.components.register_features import step
from hemix.errors import DefinitionError
from hemix.features.store import OnlineFeatures, RepositoryInfo, publish
from hemix.files import read_json
from hemix.verdict import Verdict
from tests.small import SmallRun


def test_the_repository_says_what_it_holds(small_run: SmallRun) -> None:
    info = RepositoryInfo.read(small_run.repository)
    assert info.service == "ranker_small_tiny"
    assert info.as_of == small_run.definition.split.train.end
    assert {name.rsplit("_", 1)[0] for name in info.views} == {
        "user_profile",
        "user_sequences",
        "user_counters",
        "item_profile",
        "item_counters",
    }
    assert min(info.rows.values()) >= 400
    assert read_json(small_run.repository / "as_of.json")["as_of"].startswith("2022-04-29")


def test_the_verdict_counts_every_user_and_five_hundred_items(small_run: SmallRun) -> None:
    assert small_run.repository.is_dir()
    verdict = Verdict.read(small_run.root / "parity-verdict.json")
    checks = {check.check: check for check in verdict.checks}
    assert verdict.passed
    assert verdict.gate == "parity"
    assert checks["users compared"].value == 405  # 400 and five that nobody knows
    assert (checks["items compared"].value or 0) >= 500
    rows = checks["rows equal to the examples"]
    assert rows.value == rows.threshold == rows.sample_size == 810
    within = checks["rows equal within the day"]  # training ends at midnight UTC
    assert within.value == within.threshold == within.sample_size == 200
    assert checks["offline features that differ"].sample_size == 100


def test_a_moved_repository_serves_once_published(small_run: SmallRun, tmp_path: Path) -> None:
    assert not list(small_run.repository.glob("online.db*")), "the gate has read the staged rows"
    moved = shutil.copytree(small_run.repository, tmp_path / "moved")
    for repository, live in ((small_run.repository, "here"), (moved, "there")):
        publish(repository, tmp_path / live)
    online, other = (
        OnlineFeatures(tmp_path / live, "ranker_small_tiny", timeout_s=10)
        for live in ("here", "there")
    )
    users = list(range(300))
    mine, theirs = online.users(users), other.users(users)
    assert mine.known.any()
    assert mine.known.tolist() == theirs.known.tolist()
    for name, column in mine.columns.items():
        assert [repr(v) for v in column] == [repr(v) for v in theirs.columns[name]]


def test_an_unknown_store_is_refused_before_anything_is_written(
    small_run: SmallRun, tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError, match="online_store"):
        step.run(
            definition=small_run.definition,
            events=small_run.events,
            transform=small_run.transform,
            version="x",
            out_repository=tmp_path / "repository",
            out_verdict=tmp_path / "verdict.json",
            online_store="cassandra",
        )
    assert list(tmp_path.iterdir()) == []
