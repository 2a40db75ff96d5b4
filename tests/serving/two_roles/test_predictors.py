from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import RegistryError
from hemix.serving.experiments.assignment import assign, variants_of
from hemix.serving.registry.transitions import Challenger, RegistryState
from hemix.serving.two_roles.routing_table import Predictors, PredictorsFile, parse_predictors

STATE = RegistryState(
    champion="v1",
    challengers=(Challenger(version="v2", share=0.3),),
    salt="s",
    champions=("v0", "v1"),
    versions={"v0": "retired", "v1": "champion", "v2": "challenger"},
)
URLS = {"v1": "http://one", "v2": "http://two:8080/"}


@given(user=st.integers() | st.text(), share=st.floats(0, 0.99))
def test_users_are_assigned_as_the_registry_assigns_them(user: int | str, share: float) -> None:
    state = STATE.model_copy(update={"challengers": (Challenger(version="v2", share=share),)})
    told = parse_predictors(Predictors.of(state, URLS).to_yaml(), where="f").state()
    arms = [assign(variants_of(s), salt=s.salt, user_id=user) for s in (state, told)]
    assert (arms[0].name, arms[0].version) == (arms[1].name, arms[1].version)


def test_the_file_is_followed_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "predictors.yaml"
    path.write_text(Predictors.of(STATE, URLS).to_yaml())
    file = PredictorsFile(path)
    assert file.state().champion == "v1"
    assert file.url("v2") == "http://two:8080"
    moved = json.loads(Predictors.of(STATE, {**URLS, "v2": "http://three"}).model_dump_json())
    path.write_text(json.dumps(moved))  # JSON is YAML
    assert file.state().champion == "v1"
    assert file.url("v2") == "http://three"
    with pytest.raises(RegistryError, match="names no predictor of v9"):
        file.url("v9")


def entry(version: str = "v1", **changes: object) -> dict[str, object]:
    return {"version": version, "url": "http://a", "state": "champion", "share": 1.0, **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("predictors: [", "not valid YAML"),
        ("[]", "it holds a list"),
        ({"predictors": [entry()]}, "salt"),
        ({"salt": "s"}, "predictors"),
        ({"salt": "s", "predictors": []}, "exactly one predictor must be the champion"),
        ({"salt": "s", "predictors": [entry(), entry("v2")]}, "exactly one"),
        ({"salt": "s", "predictors": [entry(), entry(state="challenger")]}, "v1 is given twice"),
        ({"salt": "s", "predictors": [entry(url="ftp://a")]}, r"predictors\[0\]\.url"),
        ({"salt": "s", "predictors": [entry(url="http://")]}, r"predictors\[0\]\.url"),
        ({"salt": "s", "predictors": [entry(share=1.5)]}, r"predictors\[0\]\.share"),
        (
            {"salt": "s", "predictors": [entry(), entry("v2", state="challenger", share=0.1)]},
            "more than 1",
        ),
        ({"salt": "s", "predictors": [entry(colour=1)]}, r"predictors\[0\]\.colour"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(RegistryError, match=message) as caught:
        PredictorsFile(path).state()
    assert str(path) in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"none\.yaml: cannot read .* --predictors FILE"):
        PredictorsFile(tmp_path / "none.yaml").state()
