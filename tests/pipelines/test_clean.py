"""What is listed is what goes, and nothing that is live, spoken of elsewhere, or behind a link."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import DefinitionError, EnvironmentProblem, HemixError, StorageError
from hemix.pipelines.local.clean import clean
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord, StepRecord

STEPS = {
    "ingest": "events",
    "build_examples": "examples",
    "transform": "transformed",
    "train": "model",
}


def write_run(root: Path, version: str, run: str, status: str = "succeeded") -> RunRecord:
    """A run's record with an artifact of each step, and its checkpoint."""
    steps = []
    for step, output in STEPS.items():
        place = root / "artifacts" / run / step / output
        place.mkdir(parents=True)
        (place / "part.parquet").write_bytes(b"x" * 1000)
        steps.append(StepRecord(name=step, status="succeeded", artifacts={output: str(place)}))
        cache = root / "cache" / f"{run}-{step}.json"
        cache.parent.mkdir(exist_ok=True)
        cache.write_text(json.dumps({output: {"uri": str(place)}}))
    checkpoint = root / "checkpoints" / version / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"x" * 500)
    record = RunRecord(
        version=version,
        status=status,
        started="2024",
        parameters={},
        steps=steps,  # type: ignore[arg-type]
    )
    record.write(root / "runs" / f"{version}.json", root / "run.json")
    return record


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two runs that succeeded, one that failed, leftovers of another, and links out."""
    root = tmp_path / "out"
    (root / "runs").mkdir(parents=True)
    write_run(root, "v1", "training-1")
    write_run(root, "v2", "training-2", status="failed")
    write_run(root, "v3", "training-3")
    left = root / "artifacts" / "training-0\nodd"
    left.mkdir()
    (left / "old.bin").write_bytes(b"x" * 2000)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    (root / "artifacts" / "linked").symlink_to(outside)
    (root / "artifacts" / "dangling").symlink_to(tmp_path / "nowhere")
    (left / "link").symlink_to(outside)
    for live in ("registry", "feature_store"):
        (root / live).mkdir()
        (root / live / "state.json").write_text("{}")
    (root / ".lock").touch()
    return root


def tree(root: Path) -> dict[str, tuple[int, int]]:
    found = [path for path in root.parent.rglob("*") if not path.is_symlink()]
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in found if p.is_file()}


def test_a_dry_run_lists_what_goes_and_touches_nothing(output: Path) -> None:
    folder, before = RunFolder.at(output), tree(output)
    listed = clean(folder, dry_run=True)
    assert tree(output) == before
    assert {str(r.path.relative_to(output)) for r in listed} == {
        "artifacts/training-0\nodd",
        "artifacts/training-1/build_examples/examples",
        "artifacts/training-1/transform/transformed",
        "artifacts/training-3/build_examples/examples",
        "artifacts/training-3/transform/transformed",
        "checkpoints/v1/checkpoint.safetensors",
        "checkpoints/v3/checkpoint.safetensors",
    }
    assert clean(folder, dry_run=False) == listed
    after = tree(output)
    gone = before.keys() - after.keys()
    parts = [path for path in gone if "/cache/" not in path]
    assert all(any(path.startswith(str(r.path)) for r in listed) for path in parts)
    assert sum(before[path][0] for path in parts) == 2000 + 4 * 1000 + 2 * 500
    assert {Path(path).stem for path in gone if "/cache/" in path} == {
        f"training-{n}-{step}" for n in (1, 3) for step in ("build_examples", "transform")
    }
    assert not list(output.rglob(".*.old"))
    assert (output.parent / "outside" / "mine.txt").read_text() == "mine"
    assert clean(folder, dry_run=False) == ()


def test_what_a_failed_run_shares_stays(output: Path) -> None:
    shared = RunRecord.read(output / "runs" / "v1.json").model_copy(
        update={"version": "v4", "status": "gate_failed"}
    )
    shared.write(output / "runs" / "v4.json")
    names = {r.path.parts[-3] for r in clean(RunFolder.at(output), dry_run=True)}
    assert "training-1" not in names
    assert "training-3" in names


@pytest.mark.parametrize("dry_run", [True, False])
def test_both_ways_refuse_the_same(output: Path, tmp_path: Path, dry_run: bool) -> None:
    before = tree(output)
    with (output / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentProblem, match="A run is working in"):
            clean(RunFolder.at(output), dry_run=dry_run)
    (tmp_path / "empty").mkdir()
    refused: list[tuple[str, type[HemixError], str]] = [
        (str(tmp_path / "empty"), StorageError, "no run's output"),
        ("s3://bucket/run", DefinitionError, "lifecycle rule"),
    ]
    for place, kind, message in refused:
        with pytest.raises(kind, match=message):
            clean(RunFolder.at(place), dry_run=dry_run)
    assert tree(output).keys() == before.keys()


def test_an_artifact_behind_a_link_stays(output: Path) -> None:
    examples = output / "artifacts/training-1/build_examples/examples"
    away = output.parent / "elsewhere"
    examples.rename(away)
    examples.symlink_to(away)
    clean(RunFolder.at(output), dry_run=False)
    assert (away / "part.parquet").exists()
    assert examples.is_symlink()


def test_a_mistyped_policy_is_told_before_storage_is_asked(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["clean", "s3://nowhere/hemix", "--policy", str(tmp_path / "typo")]
    )
    assert isinstance(done.exception, HemixError)
    assert "typo" in done.exception.message


def test_the_command_says_how_much(output: Path) -> None:
    for words, told in ((["--dry-run"], "would be removed"), ([], "removed")):
        done = CliRunner().invoke(app, ["clean", str(output), *words])
        assert done.exit_code == 0, done.exception
        assert f"0.0 MB {told}; 0.0 MB stay." in done.stdout
        assert r"training-0\nodd" in done.stdout
