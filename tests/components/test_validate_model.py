"""The model gate: the policy's keys, every kind of check passing and failing, parity, latency."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from hemix.components.evaluate.results import CHAMPION, Interval, Results, SliceResult
from hemix.components.evaluate.scoring import model_scores
from hemix.components.validate_model.checks import metric_checks, rival_checks, slice_checks
from hemix.components.validate_model.policy import Policy
from hemix.components.validate_model.step import run
from hemix.errors import DataError, DefinitionError, ModelVersionError
from hemix.files import read_json, sha256_folder, write_json
from hemix.verdict import Verdict
from tests.small import SmallRun


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_shipped_policy_is_the_default(tmp_path: Path) -> None:
    default = Policy.load()
    assert default.floors == {"auc": 0.6}
    assert Policy.load(write(tmp_path / "policy.yaml", "")) == default


def test_a_policy_overrides_what_it_names(tmp_path: Path) -> None:
    policy = Policy.load(
        write(
            tmp_path / "policy.yaml",
            "latency: {p99_ms: 20}\ntasks: {click: {floors: {auc: 0.7}}}\nboosting: {auc: 0.0}",
        )
    )
    assert policy.latency.p99_ms == 20
    assert policy.latency.candidates == Policy.load().latency.candidates
    assert policy.limits("click").floors == {"auc": 0.7}
    assert policy.limits("long_view").floors == {"auc": 0.6}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("flors: {auc: 0.6}", "flors"),
        ("latency: {p99: 5}", r"latency\.p99"),
        ("floors: {acu: 0.6}", "unknown metric 'acu'"),
        ("floors: {gauc: 0.6}", "user_gauc is the same of one state a user"),
        ("floors: {auc: high}", r"floors\.auc"),
        ("floors: {auc: .nan}", r"floors\.auc"),
        ("champion: {auc: -0.1}", r"champion\.auc"),
        ("champion: {pcoc: 0.1}", "use bands"),
        ("bands: {pcoc: [2, 1]}", "2.0 is above 1.0"),
        ("- auc", "a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_policy_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(DefinitionError, match=named):
        Policy.load(write(tmp_path / "policy.yaml", text))


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"none\.yaml"):
        Policy.load(tmp_path / "none.yaml")


def with_champion(results: Results, **difference: float) -> Results:
    """The results with a champion whose AUC differs as given in ``low``, ``value``, ``high``."""
    gap = Interval(**difference)
    tasks = {
        task: result.model_copy(
            update={"differences": {**result.differences, CHAMPION: {"auc": gap, "logloss": gap}}}
        )
        for task, result in results.tasks.items()
    }
    part = SliceResult(
        dimension="tab", slice="1", task="click", rows=5000, users=900, positives=2000,
        auc={}, difference={CHAMPION: gap},
    )  # fmt: skip
    return results.model_copy(update={"tasks": tasks, "slices": (part,)})


def test_not_worse_looks_at_the_pessimistic_end(small_evaluation: Path) -> None:
    policy, results = Policy.load(), Results.read(small_evaluation)
    fine = with_champion(results, low=-0.004, value=0.001, high=0.006)
    named = {c.check: c for c in rival_checks(policy, fine)}
    assert named["click auc minus champion, lower end"].passed
    assert named["click logloss minus champion, upper end"].passed
    worse = with_champion(results, low=-0.006, value=0.001, high=0.012)
    named = {c.check: c for c in rival_checks(policy, worse)}
    assert not named["click auc minus champion, lower end"].passed
    assert not named["click logloss minus champion, upper end"].passed


def test_a_slice_is_harmed_when_the_whole_interval_is(small_evaluation: Path) -> None:
    policy, results = Policy.load(), Results.read(small_evaluation)
    unsure = slice_checks(policy, with_champion(results, low=-0.05, value=-0.02, high=0.001))
    assert [check.passed for check in unsure] == [True]
    harmed = slice_checks(policy, with_champion(results, low=-0.05, value=-0.04, high=-0.03))
    assert [(check.passed, check.slice) for check in harmed] == [(False, "tab=1")]
    strict = policy.model_copy(
        update={"slices": policy.slices.model_copy(update={"smallest_rows": 6000})}
    )
    assert slice_checks(strict, with_champion(results, low=-1, value=-1, high=-1)) == []


def test_a_task_that_is_not_there_is_named(small_evaluation: Path, tmp_path: Path) -> None:
    policy = Policy.load(write(tmp_path / "p.yaml", "tasks: {buy: {floors: {auc: 0.6}}}"))
    with pytest.raises(DefinitionError, match="buy"):
        metric_checks(policy, Results.read(small_evaluation))


LENIENT = """
floors: {auc: 0.5}
ceilings: {normalized_entropy: 2.0}
bands: {pcoc: [0.1, 10]}
popularity: {}
rule: {}
latency: {candidates: 20, requests: 10, p99_ms: 60000}
parity: {rows: 64, requests: 5}
"""


def decide(
    small_run: SmallRun,
    policy: Path,
    out: Path,
    evaluation: Path | None = None,
    model: Path | None = None,
) -> Verdict:
    return run(
        policy=policy,
        model=model or small_run.model,
        evaluation=evaluation or small_run.evaluation,
        transformed=small_run.transformed,
        champion=None,
        out_verdict=out,
    )


def test_the_verdict_holds_every_number(small_run: SmallRun, tmp_path: Path) -> None:
    verdict = decide(small_run, write(tmp_path / "p.yaml", LENIENT), tmp_path / "verdict.json")
    assert verdict.passed, [check.sentence() for check in verdict.failures]
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    named = {check.check: check for check in verdict.checks}
    assert {"click auc", "long_view pcoc", "latency p99 ms"} <= set(named)
    assert named["latency p99 ms"].slice == "20 candidates"
    assert named["score parity in batches"].sample_size == 64
    assert named["export parity"].sample_size == 32 * 16
    assert named["export parity"].value is not None
    assert named["export parity"].value <= 1e-5
    assert all(check.value is not None and check.sample_size > 0 for check in verdict.checks)


def test_a_low_metric_and_other_weights_fail_the_verdict_and_raise_nothing(
    small_run: SmallRun, tmp_path: Path
) -> None:
    evaluation = tmp_path / "evaluation"
    shutil.copytree(small_run.evaluation, evaluation)
    path = evaluation / "predictions.parquet"
    table = pq.read_table(path)
    index = table.schema.get_field_index("p_candidate_click")
    shifted = np.minimum(table["p_candidate_click"].to_numpy() + np.float32(1e-3), 1)
    pq.write_table(table.set_column(index, "p_candidate_click", pa.array(shifted)), path)
    policy = write(tmp_path / "p.yaml", LENIENT.replace("auc: 0.5", "auc: 0.99"))
    verdict = decide(small_run, policy, tmp_path / "verdict.json", evaluation)
    assert not verdict.passed
    assert {check.check for check in verdict.failures} == {
        "click auc",
        "long_view auc",
        "score parity in batches",
        "score parity in requests",
    }


def tampered(small_run: SmallRun, folder: Path) -> tuple[Path, Path]:
    """The model with one weight changed and its digest with it, and an evaluation of just that."""
    model, evaluation = folder / "model", folder / "evaluation"
    shutil.copytree(small_run.model, model)
    shutil.copytree(small_run.evaluation, evaluation)
    weights = load_file(model / "model.safetensors")
    weights["tower.click.out.bias"] += 1e-3
    save_file(weights, model / "model.safetensors")
    with pytest.raises(ModelVersionError, match=r"model\.safetensors"):
        decide(small_run, write(folder / "p.yaml", LENIENT), folder / "none.json", model=model)
    manifest = read_json(model / "manifest.json")
    manifest["files"]["model.safetensors"] = sha256_folder(model)["model.safetensors"]
    write_json(model / "manifest.json", manifest)
    scores = model_scores(model, small_run.transformed)
    table = pq.read_table(evaluation / "predictions.parquet")
    for task, values in scores.items():
        index = table.schema.get_field_index(f"p_candidate_{task}")
        table = table.set_column(index, f"p_candidate_{task}", pa.array(values))
    pq.write_table(table, evaluation / "predictions.parquet")
    return model, evaluation


def test_a_tampered_weight_fails_the_gate(small_run: SmallRun, tmp_path: Path) -> None:
    model, evaluation = tampered(small_run, tmp_path)
    policy = write(tmp_path / "p.yaml", LENIENT)
    verdict = decide(small_run, policy, tmp_path / "v.json", evaluation, model=model)
    (failure,) = verdict.failures
    assert failure.check == "export parity"
    assert failure.value is not None
    assert 1e-5 < failure.value < 1e-3
    (model / "eager.parquet").unlink()
    manifest = read_json(model / "manifest.json")
    del manifest["files"]["eager.parquet"]
    write_json(model / "manifest.json", manifest)
    verdict = decide(small_run, policy, tmp_path / "v.json", evaluation, model=model)
    assert [(check.check, check.value) for check in verdict.failures] == [("export parity", None)]


def test_an_evaluation_of_another_champion_is_refused(small_run: SmallRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="champion"):
        run(
            policy=None,
            model=small_run.model,
            evaluation=small_run.evaluation,
            transformed=small_run.transformed,
            champion=small_run.model,
            out_verdict=tmp_path / "verdict.json",
        )
    assert not (tmp_path / "verdict.json").exists()
