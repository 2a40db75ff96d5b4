from __future__ import annotations

from pathlib import Path

import pytest

from hemix.errors import DefinitionError
from hemix.serving.experiments.policy import ExperimentPolicy


def test_the_default_policy_is_whole_and_a_file_changes_only_what_it_says(tmp_path: Path) -> None:
    default = ExperimentPolicy.load(None)
    assert default.primary.name == "click_rate"
    path = tmp_path / "policy.yaml"
    path.write_text("alpha: 0.01\n")
    own = ExperimentPolicy.load(path)
    assert own.alpha == 0.01
    assert own == default.model_copy(update={"alpha": 0.01})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha: 0.7", "alpha"),
        ("colour: red", "colour"),
        ("minimum_users: 3", "minimum_users"),
        ("primary: {name: x, kind: clicks, task: click}", "primary.kind"),
        ("promote_when: not_worse", "needs primary.margin"),
        ("secondary: [{name: click_rate, kind: rate, task: click}]", "two metrics have one name"),
        ("guardrails: {calibration: {click: [1.2, 0.8]}}", "1.2 is not below 0.8"),
        ("- a list", "a policy is a mapping of keys to values"),
        ("alpha: [", "not valid YAML"),
    ],
)
def test_a_wrong_policy_is_refused_by_key(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        ExperimentPolicy.parse(text, where="policy.yaml")
    assert caught.value.message.startswith("policy.yaml: ")


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="nowhere"):
        ExperimentPolicy.load(tmp_path / "nowhere.yaml")
