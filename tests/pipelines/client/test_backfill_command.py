"""hemix backfill: submitted to the server, and run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemix.features.definition import DatasetDefinition
from hemix.files import read_json
from tests.kfp_server import KfpServer, Script
from tests.pipelines.client.conftest import Hemix


def test_a_range_is_submitted(
    kfp: KfpServer, hemix: Hemix, small_definition: DatasetDefinition
) -> None:
    kfp.seconds_per_look = 45
    kfp.script = lambda run: Script(items=3)
    code, out, err = hemix(
        *("backfill", "--from", "2022-04-25", "--to", "2022-04-27", "--poll", "0"),
        *("--set", f"root={small_definition.root}", "--paths-in-pods", "--root", "s3://ranker/x"),
    )
    assert (code, err) == (0, "")
    (run,) = kfp.runs.values()
    assert run.body["display_name"] == "backfill-2022-04-25-2022-04-27"
    parameters = run.body["runtime_config"]["parameters"]
    assert (parameters["first"], parameters["last"]) == ("2022-04-25", "2022-04-27")
    assert parameters["destination"] == "s3://ranker/x/examples"
    assert "backfill succeeded (3 of 3 done, 60 s)" in out


@pytest.mark.slow
def test_a_day_is_written_here(
    kfp: KfpServer, hemix: Hemix, small_definition: DatasetDefinition, tmp_path: Path
) -> None:
    code, out, err = hemix(
        *("backfill", "--from", "2022-04-25", "--to", "2022-04-25", "--local"),
        *("--output", "out", "--set", f"root={small_definition.root}"),
    )
    assert (code, err) == (0, "")
    day = tmp_path / "out" / "examples" / "day=2022-04-25"
    rows = read_json(day / "summary.json")["rows"]
    assert f"[1/1] 2022-04-25: {rows} rows, written" in out
    assert list(day.glob("*.parquet"))
    assert kfp.calls == []
