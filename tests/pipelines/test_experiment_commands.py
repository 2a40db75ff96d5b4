from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import DataError, RegistryError
from hemix.serving.registry.opening import open_registry
from tests.serving.experiments.logged import World, registry_state

POLICY = "secondary: []\nguardrails: {errors: {margin: 0.01}}\n"
LAYERS = (
    "layers:\n  - name: ranking\n    salt: s\n    variants:\n"
    "      - {name: clicks, share: 0.5}\n"
    "      - {name: watched, share: 0.5, order: {click: 1.0, long_view: 0.5}}\n"
)


def invoke(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("commands")
    World(users=2_000, lift=0.3).write(made)
    (made / "policy.yaml").write_text(POLICY)
    (made / "experiments.yaml").write_text(LAYERS)
    return made


@pytest.mark.slow
def test_show_lists_every_layers_arms(root: Path) -> None:
    text = invoke("show", "--models", str(root))
    for word in ("model", "champion", "v2", "50.0%", "ranking", "watched"):
        assert word in text


@pytest.mark.slow
def test_analyze_changes_nothing_and_decide_applies_once(root: Path) -> None:
    registry = open_registry(str(root / "registry"))
    options = ("--models", str(root), "--policy", str(root / "policy.yaml"))
    text = invoke("analyze", *options)
    assert "Decision: promote\n" in text
    assert (root / "experiment-model.html").is_file()
    assert (root / "experiment-model.json").is_file()
    assert registry.state() == registry_state()
    assert "Decision: promote (applied)" in invoke("decide", *options, "--apply")
    assert registry.state().champion == "v2"
    assert "Decision: none" in invoke("decide", *options, "--apply")
    assert len(registry.state().history) == 1


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="not a registry"):
        CliRunner().invoke(
            app, ["experiment", "show", "--models", str(tmp_path)], catch_exceptions=False
        )
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "state.json").write_text(registry_state().model_dump_json())
    with pytest.raises(DataError, match="exposures holds no exposures"):
        invoke("analyze", "--models", str(tmp_path))
