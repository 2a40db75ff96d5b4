"""The whole main job with its root on S3 (moto's server): cached, resumed and served from elsewhere.

Of a small log: what is of the real one is asked of the main job (``test_main_job.py``).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix import storage
from hemix.components.steps import STEPS
from hemix.pipelines.demo.heldout import held_out_requests
from hemix.pipelines.local.record import RunRecord
from tests import s3
from tests.odd_logs import ODD
from tests.pipelines.test_odd_logs import POLICY
from tests.serving.live import started, wait_ready

EASY = yaml.safe_load(POLICY)


class Machine:
    """A machine with nothing but the data and the keys: an empty scratch folder of its own."""

    def __init__(self, folder: Path, name: str, root: str, endpoint: str) -> None:
        self.cache = folder / name
        self.root = root
        self.folder = folder
        self.environment = {
            **os.environ,
            **s3.environment(endpoint),
            "HEMIX_CACHE": str(self.cache),
            "HEMIX_DEBUG": "",
        }
        self.definition = folder / "definition.yaml"
        if not self.definition.exists():
            ODD["histories_of_few"]().write(folder)

    def start(self, policy: dict[str, Any]) -> subprocess.Popen[str]:
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(policy))
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "hemix", "run", "--output", self.root),
                *("--recipe", "tiny"),  # the main job trains the default one
                *("--policy", str(self.folder / "policy.yaml")),
                *("--definition", str(self.definition), "--set", "training.epochs=1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )

    def run(self, policy: dict[str, Any]) -> tuple[int, str, RunRecord]:
        process = self.start(policy)
        told, _ = process.communicate()
        return process.returncode, told, RunRecord.read(f"{self.root}/run.json")


@pytest.mark.timeout(2400)
def test_the_whole_job_from_three_machines(bucket: str, s3_endpoint: str, tmp_path: Path) -> None:
    root = f"{bucket}/runs/small"
    first = Machine(tmp_path, "first", root, s3_endpoint)

    # The first machine dies after some steps, without a word.
    process = first.start(EASY)
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and process.poll() is None:
        if len(storage.list_files(f"{root}/cache")) >= 3:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = RunRecord.read(f"{root}/run.json")
    assert left.status == "running"
    done = [step.name for step in left.steps if step.status == "succeeded"]
    assert len(done) >= 2

    # A second one, whose scratch is empty, goes on from what is there.
    second = Machine(tmp_path, "second", root, s3_endpoint)
    code, told, record = second.run(EASY)
    assert code == 0, told
    assert [(s.name, s.status) for s in record.steps] == [(name, "succeeded") for name in STEPS]
    cached = [step.name for step in record.steps if step.cached]
    assert cached[: len(done)] == done
    assert len(cached) < len(STEPS)
    places = [place for step in record.steps for place in step.artifacts.values()]
    assert all(place.startswith(f"{root}/artifacts/") for place in places)
    assert all(storage.is_complete(place) for place in places)
    state = storage.read_bytes(f"{root}/registry/state.json")
    assert state is not None
    assert json.loads(state)["champion"] == record.version
    page = storage.read_bytes(f"{root}/report.html")
    assert page is not None
    assert record.version in page.decode()
    assert page == storage.read_bytes(f"{root}/reports/{record.version}.html")
    names = storage.list_files(root)
    assert f"logs/{record.version}/train.log" in names
    assert "feature_store/live.json" in names
    assert any(name.startswith(f"checkpoints/{record.version}/") for name in names)
    assert ".lock.json" not in names
    assert f"hemix serve --models {root}" in told

    # A third one gets all of it from the cache and brings none of the large artifacts.
    third = Machine(tmp_path, "third", root, s3_endpoint)
    code, told, again = third.run(EASY)
    assert code == 0, told
    assert all(step.cached for step in again.steps), [(s.name, s.cached) for s in again.steps]
    assert [s.artifacts for s in again.steps] == [s.artifacts for s in record.steps]
    assert storage.read_bytes(f"{root}/registry/state.json") == state
    brought = {path.suffix for path in third.cache.rglob("*") if path.is_file()}
    assert not brought & {".parquet", ".safetensors"}

    # And it serves, from a fourth place.
    (asked,) = held_out_requests(record, users=1)
    log = tmp_path / "serve.log"
    with started(tmp_path, "--models", root, log=log) as endpoint:
        wait_ready(endpoint)
        status, answer = endpoint.v1(
            {"user_id": asked.user_id, "item_ids": asked.item_ids, "context": asked.context}
        )
    assert status == 200, answer
    (prediction,) = answer["predictions"]
    assert prediction["version"] == record.version
    assert sorted(prediction["ranked_item_ids"]) == sorted(asked.item_ids)
    assert "features_unavailable" not in prediction["flags"]
