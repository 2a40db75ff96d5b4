"""A version's name, manifest and place agree, and any text of it is shown as text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hemix.errors import ModelVersionError, RegistryError
from hemix.files import read_json, write_json
from hemix.models.data.toy import toy_spec
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.version import write
from hemix.serving.registry.registry import FolderRegistry
from hemix.serving.tables import history_table, show, version_table, versions_table

Model = Callable[[str], Path]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Toy versions by name."""
    transform = tmp_path / "transform"
    transform.mkdir()
    toy_spec().write(transform / "spec.json")

    def made(version: str) -> Path:
        folder = tmp_path / "made" / version
        if not folder.exists():
            recipe = recipe_of("compact", {"model.token_width": "8"})
            write(
                folder,
                ranker=build(recipe.ranker, toy_spec(), recipe.model),
                recipe=recipe,
                transform=transform,
                version=version,
                feature_service=f"ranker_{version}",
                training_window={"start": "2022-04-25", "end": "2022-05-01"},
                metrics={},
            )
        return folder

    return made


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path / "registry")


def test_what_lies_under_another_name_is_not_served_or_promoted(
    registry: FolderRegistry, model: Model
) -> None:
    registry.add(model("v1"), share=0.1)
    registry.add(model("v2"), share=0.1)
    folder = registry.folder("v2")
    shutil.rmtree(folder)
    shutil.copytree(model("v1"), folder)  # whole, and all its digests agree
    before = registry.state_path.read_bytes()
    for move in (
        lambda: registry.folder("v2"),
        lambda: registry.challenge("v2", share=0.5),
        lambda: registry.promote("v2"),
    ):
        with pytest.raises(ModelVersionError, match="'v1' under the name 'v2'"):
            move()
    assert registry.state_path.read_bytes() == before
    registry.rollback("v2")  # out of service it may always go


def test_a_state_that_names_a_place_outside_is_refused(
    registry: FolderRegistry, model: Model
) -> None:
    registry.add(model("v1"), share=0.1)
    state = read_json(registry.state_path)
    write_json(
        registry.state_path, {**state, "versions": {**state["versions"], "../../v1": "candidate"}}
    )
    with pytest.raises(RegistryError, match="cannot be the name"):
        registry.folder("../../v1")


STRANGE = [
    "[/]",
    "[bold]x[/red]",
    "\x1b[2J\x1b]0;title\x07",
    "\ud800",
    "\u202etxt",
    "👩‍🔬 " + "y" * 4000,
]


@pytest.mark.parametrize("text", STRANGE)
def test_any_text_of_a_version_is_shown_as_a_text(
    registry: FolderRegistry, model: Model, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.add(model("v1"), share=0.1, who=text, why=text)
    file = registry.folder("v1") / "manifest.json"
    manifest = read_json(file)
    told = text.encode(errors="surrogatepass").decode(errors="replace")
    window = {"start": told, told: "end"}
    write_json(
        file,
        {**manifest, "ranker": told, "recipe": told, "created": told, "training_window": window},
    )
    for table in (
        versions_table(registry),
        version_table(registry, "v1"),
        history_table(registry, "v1"),
    ):
        show(table)
    out = capsys.readouterr().out
    assert not any(ord(c) < 32 and c != "\n" for c in out)
    assert "\u202e" not in out
    if text.startswith("["):
        assert text in out.replace("\n", "")


def test_a_broken_version_does_not_hide_the_others(
    registry: FolderRegistry, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.add(model("v1"), share=0.1)
    registry.add(model("v2"), share=0.1)
    (registry.folder("v2") / "manifest.json").write_text("{")
    show(versions_table(registry))
    out = capsys.readouterr().out
    assert "champion" in out
    assert "manifest.json" in out.replace("\n", "").replace(" ", "").replace("│", "")
