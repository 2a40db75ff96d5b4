from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemix.serving.experiments.assignment import Assigned
from hemix.serving.exposures.log import Exposure, ExposureLog
from hemix.serving.messages.answer import RankingAnswer
from hemix.serving.metrics import EXPOSURES
from tests.serving.live import ROOT


def answer(number: int = 0) -> RankingAnswer:
    return RankingAnswer(
        request_id=f"r{number}",
        user_id="u",
        version="v1",
        variant="champion",
        item_ids=["a", "b", "c"],
        scores={"click": np.array([0.25, 0.5, 0.25], np.float32)},
        flags=("unknown_user",),
        unknown_items=[],
    )


def exposure(number: int = 0) -> Exposure:
    return Exposure(
        request_id=f"r{number}",
        user_id="u",
        request_ms=1_651_363_200_000,
        latency_ms=1.25,
        variant="champion",
        version="v1",
        assigned=(
            Assigned(layer="model", variant="champion", epoch="e1"),
            Assigned(layer="ranking", variant="watched", epoch="e2", order={"click": 1.0}),
        ),
        item_ids=["a", "b", "c"],
        scores={"click": np.array([0.25, 0.5, 0.25], np.float32)},
        order={"click": 1.0},
        flags=("unknown_user",),
    )


def count(outcome: str) -> float:
    value: float = EXPOSURES.labels(outcome)._value.get()
    return value


def test_lines_are_written_in_order_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path / "exposures", flush_s=30)
    for number in range(1200):
        log.append(exposure(number))
    log.close()
    lines = [
        json.loads(line)
        for file in sorted((tmp_path / "exposures").iterdir())
        for line in file.read_text().splitlines()
    ]
    assert [line["request_id"] for line in lines] == [f"r{n}" for n in range(1200)]
    assert lines[0]["scores"] == {"click": [0.25, 0.5, 0.25]}
    assert lines[0]["flags"] == ["unknown_user"]
    assert lines[0]["layers"] == {"model": "champion", "ranking": "watched"}
    assert lines[0]["epochs"] == {"model": "e1", "ranking": "e2"}
    assert lines[0]["order"] == {"click": 1.0}


def test_a_folder_that_cannot_be_written_loses_lines_and_counts_them(tmp_path: Path) -> None:
    (tmp_path / "exposures").write_text("a file is in the way")
    before = count("lost")
    log = ExposureLog(tmp_path / "exposures", flush_s=0.01)
    log.append(exposure())
    log.close()
    assert count("lost") == before + 1


def test_a_disk_that_hangs_costs_bounded_memory_and_no_answer(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path / "exposures", flush_s=0.0)
    hangs, goes_on = threading.Event(), threading.Event()
    write = log._files.write

    def hang(hour: str, data: bytes) -> None:
        hangs.set()
        assert goes_on.wait(60)
        write(hour, data)

    log._files.write = hang  # type: ignore[method-assign]
    written, dropped = count("written"), count("dropped")
    log.append(exposure(0))
    assert hangs.wait(60)
    big = replace(exposure(1), item_ids=["z" * 200] * 1000, scores={})
    for _ in range(1_000):
        log.append(big)
    lost = count("dropped") - dropped
    assert 500 < lost < 1_000
    goes_on.set()
    log.close()
    assert count("written") - written == 1_001 - lost
    assert log._bytes == 0


@pytest.mark.slow
def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from hemix.serving.exposures.log import ExposureLog\n"
        "from tests.serving.exposures.test_exposures import exposure, count\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "log = ExposureLog(Path(sys.argv[1]), flush_s=0.0)\n"
        "import time\n"
        "for n in range(10):\n    log.append(exposure(n)); time.sleep(0.05)\n"
        "log.close()\n"
        "print(int(count('written')), int(count('lost')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    written, lost = map(int, done.stdout.split())
    assert written + lost == 10
    assert written > 0
    assert lost > 0
    (file,) = tmp_path.iterdir()
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == written


def test_items_are_ranked_by_the_first_task_and_ties_keep_their_order() -> None:
    assert answer().ranked_item_ids == ["b", "a", "c"]


def test_a_variants_weights_make_the_final_order() -> None:
    scores = {
        "click": np.array([0.5, 0.4, 0.1], np.float32),
        "long_view": np.array([0.1, 0.3, 0.9], np.float32),
    }
    base = answer()
    weighted = replace(base, scores=scores, order={"click": 1.0, "long_view": 1.0})
    assert weighted.ranked_item_ids == ["c", "b", "a"]
    assert replace(base, scores=scores, order=None).ranked_item_ids == ["a", "b", "c"]
