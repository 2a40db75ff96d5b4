from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hemix.components.experiment.step import run
from hemix.errors import DataError, DefinitionError
from hemix.serving.experiments.results import Decision
from hemix.serving.registry.opening import open_registry
from tests.serving.experiments.logged import World, write_outcomes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A challenger whose clicks are a quarter more likely, and days before the experiment."""
    root = tmp_path_factory.mktemp("better")
    World(users=3_000, lift=0.25).write(root, before_days=2)
    return root


def examine(root: Path, **more: Any) -> Decision:
    options: dict[str, Any] = {
        "exposures": str(root / "exposures"),
        "outcomes": str(root / "outcomes"),
        "registry": str(root / "registry"),
        "policy": root / "policy.yaml",
        "apply": False,
        "out_decision": root / "decision.json",
        "out_page": root / "page.html",
    }
    (root / "policy.yaml").write_text("secondary: []\nguardrails: {errors: {margin: 0.01}}\n")
    return run(**{**options, **more})


def copy(root: Path, target: Path) -> Path:
    import shutil

    shutil.copytree(root, target, dirs_exist_ok=True)
    return target


def test_a_better_challenger_is_promoted_once_with_the_reason(better: Path, tmp_path: Path) -> None:
    root = copy(better, tmp_path / "run")
    registry = open_registry(str(root / "registry"))
    before = registry.state()
    looked = examine(root)
    assert (looked.verdict, looked.applied) == ("promote", False)
    assert registry.state() == before
    decided = examine(root, apply=True)
    assert (decided.verdict, decided.applied) == ("promote", True)
    after = registry.state()
    assert (after.champion, after.versions["v1"]) == ("v2", "retired")
    assert after.history[-1].what == "promote"
    assert "click_rate is surely better" in after.history[-1].why
    again = examine(root, apply=True)
    assert again.verdict == "none"
    assert registry.state() == after


def test_the_record_holds_the_figures(better: Path) -> None:
    examine(better)
    record = json.loads((better / "decision.json").read_text())
    primary = record["analysis"]["comparisons"][0]["metrics"][0]
    assert primary["low"] < 0.25 < primary["high"]
    assert primary["low"] > 0.05
    assert primary["variance_kept"] < 0.9  # two days of behaviour tell who clicks
    counts = record["analysis"]["counts"]
    assert counts["other_epochs"] == 2 * 3_000
    assert counts["other_requests"] == 3 * 2 * 3_000
    assert counts["orphans"] == 0
    assert record["analysis"]["mismatch"]["found"] is False


def test_the_page_needs_nothing_else_and_tells_the_decision(better: Path) -> None:
    examine(better)
    text = (better / "page.html").read_text()
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert "Promote" in text
    assert text.count("<svg") == 1
    assert 'aria-label="click rate over time"' in text
    assert "error rate" in text


def test_a_challenger_without_effect_goes_on(tmp_path: Path) -> None:
    World(users=1_500, lift=0.0, seed=1).write(tmp_path)
    decision = examine(tmp_path, apply=True)
    assert (decision.verdict, decision.applied) == ("continue", False)


def test_a_worse_challenger_is_rolled_back(tmp_path: Path) -> None:
    World(users=2_500, lift=-0.25, seed=2).write(tmp_path)
    decision = examine(tmp_path, apply=True)
    assert (decision.verdict, decision.applied) == ("roll_back", True)
    state = open_registry(str(tmp_path / "registry")).state()
    assert (state.champion, state.versions["v2"]) == ("v1", "retired")


def test_lost_exposures_of_one_arm_are_noticed_before_any_metric(
    better: Path, tmp_path: Path
) -> None:
    root = copy(better, tmp_path / "run")
    for file in (root / "exposures").iterdir():
        lines = file.read_text().splitlines(keepends=True)
        kept = [
            line
            for line in lines
            if '"variant":"champion"' in line or json.loads(line)["user_id"] % 4
        ]
        file.write_text("".join(kept))
    decision = examine(root)
    assert decision.verdict == "roll_back"
    assert "split of users is not the planned one" in decision.reasons[0]
    assert "Roll back" in (root / "page.html").read_text()


def test_when_the_shares_change_the_experiment_begins_anew(better: Path, tmp_path: Path) -> None:
    root = copy(better, tmp_path / "run")
    open_registry(str(root / "registry")).challenge("v2", share=0.2)
    decision = examine(root, apply=True)
    assert decision.verdict == "continue"
    assert "0 users" in decision.reasons[0]


def test_missing_logs_and_layers_are_named_and_nothing_is_written(
    better: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    with pytest.raises(DataError, match="holds no exposures"):
        examine(better, exposures=str(tmp_path / "none"), out_page=page)
    with pytest.raises(DefinitionError, match="no layer 'ranking'"):
        examine(better, layer="ranking", out_page=page)
    assert not page.exists()


def test_a_layer_of_the_file_is_analysed_and_is_not_the_registrys_to_change(
    better: Path, tmp_path: Path
) -> None:
    """Exposures of a ranking layer whose 'watched' arm clicks more."""
    from hemix.serving.experiments.layers import Experiments

    text = (
        "layers:\n  - name: ranking\n    salt: s\n    variants:\n"
        "      - {name: clicks, share: 0.5}\n      - {name: watched, share: 0.5, order: {click: 2.0}}\n"
    )
    root = copy(better, tmp_path / "run")
    (root / "experiments.yaml").write_text(text)
    layer = Experiments.parse(text).layers[0]
    arms: dict[str, str] = {}
    for file in (root / "exposures").iterdir():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            found = layer.assign(line["user_id"])
            line["layers"]["ranking"], line["epochs"]["ranking"] = found.variant, found.epoch
            arms[line["request_id"]] = found.variant
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcomes = [
        (request, 1, "click", float(hash(request) % 100 < (30 if arm == "clicks" else 60)), t)
        for request, arm, t in _times(root, arms)
    ]
    write_outcomes(root / "outcomes" / "part-0.jsonl", outcomes)
    with pytest.raises(DefinitionError, match=r"layer ranking is not the registry's"):
        examine(root, layer="ranking", experiments=root / "experiments.yaml", apply=True)
    record = json.loads((root / "decision.json").read_text())
    assert record["decision"]["verdict"] == "promote"
    assert record["decision"]["arm"] == "watched"


def _times(root: Path, arms: dict[str, str]) -> list[tuple[str, str, int]]:
    rows = []
    for file in (root / "exposures").iterdir():
        for text in file.read_text().splitlines():
            line = json.loads(text)
            rows.append((line["request_id"], arms[line["request_id"]], line["request_ms"]))
    return rows
