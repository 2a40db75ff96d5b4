from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from hemix.cli.rank import register
from hemix.errors import RegistryError, RequestError
from hemix.serving.registry.opening import find_registry, open_registry
from tests.serving.live import Endpoint, Workshop

app = typer.Typer()
register(app)


def hemix(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


@pytest.fixture(scope="module")
def registered(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder whose registry holds v1 and v2; no feature store is needed here."""
    root = tmp_path_factory.mktemp("commands")
    registry = open_registry(root / "registry")
    registry.add(workshop.model("v1"), share=None)
    registry.add(workshop.model("v2"), share=0.25, why="better on paper")
    return root


def test_list_and_show_say_who_serves_whom(registered: Path) -> None:
    listed = hemix("models", "list", "--models", str(registered))
    assert listed.exit_code == 0
    assert "champion" in listed.stdout
    assert "75%" in listed.stdout
    assert "25%" in listed.stdout
    shown = hemix("models", "show", "v2", "--models", str(registered))
    assert shown.exit_code == 0
    for text in ("ranker_small", "2022-04-25", "better on paper", "challenger"):
        assert text in shown.stdout


def test_promote_and_roll_back_and_each_again(registered: Path) -> None:
    options = ("--models", str(registered))
    for _ in range(2):
        done = hemix("models", "promote", "v2", "--why", "it won", *options)
        assert done.exit_code == 0
        assert "retired" in done.stdout
    state = open_registry(registered / "registry").state()
    assert (state.champion, state.history[-1].why) == ("v2", "it won")
    assert len([event for event in state.history if event.what == "promote"]) == 1
    back = hemix("models", "rollback", "v2", *options)
    assert back.exit_code == 0
    assert "v2 was the champion and is retired; v1 is champion again." in back.stdout
    state = open_registry(registered / "registry").state()
    assert state.champion == "v1"
    again = hemix("models", "rollback", "v2", *options)
    assert isinstance(again.exception, RegistryError)
    assert again.exception.exit_code == 6
    assert "v2 is a retired version and serves no one" in str(again.exception)
    assert open_registry(registered / "registry").state() == state


def test_every_move_works_at_an_s3_location_too(
    workshop: Workshop, bucket: str, tmp_path: Path
) -> None:
    run = f"{bucket}/run"
    place = ("--models", f"{run}/registry")
    added = hemix("models", "add", str(workshop.model("v1")), *place, "--who", "ana")
    assert added.exit_code == 0, added.exception
    for words in (
        ("add", str(workshop.model("v2"))),
        ("challenge", "v2", "--share", "0.2", "--who", "ben", "--why", "trial"),
        ("promote", "v2", "--who", "eva", "--verdict", "experiment: promote"),
    ):
        for _ in range(2):
            assert hemix("models", *words, "--models", run).exit_code == 0
    state = open_registry(f"{run}/registry").state()
    assert [(e.who, e.what) for e in state.history if e.who in ("ana", "ben", "eva")] == [
        ("ana", "add"),
        ("ben", "challenge"),
        ("eva", "promote"),
    ]
    shown = hemix("models", "show", "v2", "--models", run).stdout
    for text in ("eva", "experiment: promote", "trial", "champion", f"{run}/registry/versions/v2"):
        assert text in shown
    assert "100%" in hemix("models", "list", "--models", run).stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("models", "show", "v9"), "no version 'v9'"),
        (("models", "promote", "v9"), "Versions: v1, v2"),
        (("models", "retire", "v1"), "no one to serve"),
    ],
)
def test_a_mistake_is_an_error_of_ours(registered: Path, words: tuple[str, ...], text: str) -> None:
    done = hemix(*words, "--models", str(registered))
    assert isinstance(done.exception, RegistryError)
    assert text in str(done.exception)


def test_a_folder_without_a_registry_is_named(tmp_path: Path) -> None:
    for words in (("models", "list"), ("serve",)):
        done = hemix(*words, "--models", str(tmp_path))
        assert isinstance(done.exception, RegistryError)
        assert str(tmp_path) in str(done.exception)


def test_a_runs_folder_stands_for_its_registry(registered: Path) -> None:
    assert find_registry(registered).location == str(registered / "registry")
    assert find_registry(registered / "registry").location == str(registered / "registry")


def test_a_context_without_a_value_is_refused() -> None:
    done = hemix("rank", "--user", "1", "--items", "1", "--context", "tab")
    assert isinstance(done.exception, RequestError)
    assert "NAME=VALUE" in str(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc"])
def test_rank_prints_the_list(endpoint: Endpoint, workshop: Workshop, protocol: str) -> None:
    users, items = workshop.known(items=3)
    done = hemix(
        *("rank", "--user", str(users[0]), "--items", f"{items[0]}, {items[1]},99999999"),
        *("--context", "tab=1", "--protocol", protocol),
        *("--url", endpoint.grpc if protocol == "grpc" else endpoint.url),
    )
    assert done.exit_code == 0
    for text in ("99999999", "unknown item", "flags: unknown_items", "long_view"):
        assert text in done.stdout
