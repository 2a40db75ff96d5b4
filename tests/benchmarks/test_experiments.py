from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import experiments
from benchmarks.ab.picture import draw
from benchmarks.ab.real import read_log
from benchmarks.ab.studies import study
from benchmarks.experiments import app

pytestmark = pytest.mark.slow


def test_a_small_run_ends_with_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "LIFTS", (0.05,))
    monkeypatch.setattr(experiments, "SIMULATED", 3_000)
    options = ["--nulls", "100", "--experiments", "50", "--users", "1000", "--no-write"]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.output.splitlines()[-1])
    assert figures["false_positive_rate"] <= 0.11  # 5 % and the noise of 100 experiments
    assert figures["naive_peeking_false_positive_rate"] > 0.15
    assert figures["srm_detected"] > 0.9
    assert 0 < figures["cuped_variance_reduction"] < 1
    assert figures["power"][-1]["lift"] == 0.05


def test_the_log_is_kuairands_own_and_lifts_are_what_they_say() -> None:
    log = read_log(looks=4)
    assert (log.users, log.impressions) == (22_703, 130_455)  # as the test split of the pipeline
    *_, last = log.columns(0.05)
    control, treatment = (
        rows[:, 1].sum() / rows[:, 2].sum() for rows in (last.control, last.treatment)
    )
    assert control == pytest.approx(log.click.mean())
    assert treatment / control - 1 == pytest.approx(0.05, abs=0.004)


def test_every_experiment_keeps_its_users_and_a_large_effect_is_found() -> None:
    log = read_log(looks=5, users=2_000)
    found = study(lambda: log.columns(0.4), 40, np.random.default_rng(0), alpha=0.05, horizon=5_000)
    assert found.found_cuped.shape == (40, 5)
    assert found.found_cuped[:, -1].all()


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    names = ("sequence", "sequence_cuped", "t_test_at_the_end")
    curve = [{"lift": lift, **dict.fromkeys(names, lift * 10)} for lift in (0.0, 0.05)]
    draw(curve, 0.3, tmp_path / "p.svg")
    assert "finds something in 30%" in (tmp_path / "p.svg").read_text()
