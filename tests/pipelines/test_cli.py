"""The command line: help that teaches, errors in one line with their own exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hemix.cli.main import app, main
from hemix.pipelines.local.folder import RunFolder
from tests.features.definitions import plain

HELP_NEEDS_NONE_OF = (
    "apache_beam",
    "feast",
    "great_expectations",
    "kfp",
    "kserve",
    "pandas",
    "polars",
    "pyarrow",
    "sklearn",
    "tensorflow",
    "torch",
)


def hemix(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hemix", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "HEMIX_DEBUG": ""},
        check=False,
    )


Here = Callable[..., tuple[int, str]]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """The command in this process, in an empty folder: its exit code and stderr."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["hemix", *arguments])
        monkeypatch.delenv("HEMIX_DEBUG", raising=False)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


def commands() -> list[str]:
    """Every command there is, also those of groups: ``schedule create``."""
    from typer.main import get_command

    def below(command: Any, names: tuple[str, ...]) -> Iterator[str]:
        if not hasattr(command, "commands"):
            yield " ".join(names)
            return
        if names:
            yield " ".join(names)
        for name, inner in command.commands.items():
            yield from below(inner, (*names, name))

    return list(below(get_command(app), ()))


def test_help_names_every_command() -> None:
    done = hemix("--help")
    assert done.returncode == 0
    known = [command for command in commands() if " " not in command]
    assert {"run", "compile", "serve", "submit", "schedule", "backfill", "deploy"} <= {*known}
    for command in known:
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("command", commands())
def test_help_of_a_command_has_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"hemix {command} " in done.stdout.split("Options")[0].split("Usage", 1)[1]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['hemix', '--help']\n"
        "from hemix.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('loaded:', [m for m in {HELP_NEEDS_NONE_OF} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("loaded: []")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--dataset", "nosuch"], 2, ["'nosuch'", "kuairand"]),
        (["run", "--definition", "absent.yaml"], 2, ["absent.yaml"]),
        (["run", "--set", "oops"], 2, ["'oops'", "KEY=VALUE"]),
        (["run", "--set", "split.trian=1"], 2, ["split.trian"]),
        (["run", "--set", "root=nowhere"], 3, ["nowhere"]),
        (["run", "--set", "training.sede=1"], 2, ["training.sede"]),
        (["run", "--recipe", "nosuch"], 2, ["'nosuch'", "tiny"]),
        (["run", "--policy", "absent.yaml"], 2, ["absent.yaml"]),
        (["run", "--share", "1"], 2, ["--share 1.0", "below 1"]),
        (["run", "--online-store", "cassandra"], 2, ["'cassandra'", "sqlite", "redis"]),
        (["compile", "nosuch"], 2, ["'nosuch'", "training"]),
        (["report", "."], 9, ["run.json", "hemix run"]),
    ],
)
def test_errors_are_one_message_and_a_code(
    arguments: list[str], code: int, words: list[str], here: Here
) -> None:
    found, told = here(*arguments)
    assert found == code
    assert told.startswith("Error: ")
    assert len(told.strip().splitlines()) <= 2
    for word in words:
        assert word in told


def test_a_policy_with_an_unknown_key_is_refused_at_once(tmp_path: Path, here: Here) -> None:
    (tmp_path / "policy.yaml").write_text("flors: {auc: 0.6}\n")
    code, told = here("run", "--policy", "policy.yaml")
    assert code == 2
    assert "flors" in told


def test_an_unforeseen_error_is_one_line_and_its_traceback_a_file(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of nothing\nby nothing")

    monkeypatch.setattr("hemix.pipelines.compiler.compiler.compiled", broken)
    monkeypatch.setenv("HEMIX_CACHE", str(tmp_path / "cache"))
    code, told = here("compile")
    assert code == 1
    first, hint = told.splitlines()
    assert first == "Error: This should not have happened: ZeroDivisionError: of nothing"
    (file,) = (tmp_path / "cache" / "errors").iterdir()
    assert str(file) in hint
    assert "by nothing" in file.read_text()
    monkeypatch.setenv("HEMIX_CACHE", "/dev/null/cache")
    assert "HEMIX_DEBUG=1" in here("compile")[1]


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_told(tmp_path: Path, unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hemix", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "HEMIX_DEBUG": "", "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 9
    assert done.stderr.startswith("Error: A file could not be written (No space left on device).")
    assert len(done.stderr.splitlines()) == 2


def test_a_reader_that_has_gone_is_no_error() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "hemix", "--help"],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert done.stderr == ""


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = hemix("--debug", "compile", "nosuch", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_folder_in_use_is_an_error(tmp_path: Path, here: Here) -> None:
    with RunFolder(tmp_path / "out").locked():
        code, told = here("run", "--output", "out")
    assert code == 10
    assert "Another run is working" in told


def test_an_output_that_is_a_file_is_an_error(tmp_path: Path, here: Here) -> None:
    (tmp_path / "out").write_text("")
    for output in ("out", "out/mine"):
        code, told = here("run", "--output", output)
        assert code == 9
        assert "cannot write" in told
        assert "out is a file" in told


@pytest.mark.parametrize(
    ("name", "output", "words"),
    [
        ("../up", "out", "becomes a folder's name"),
        ("radio", "", "--output '' names no folder"),
        ("radio", "a{{$}}", "--output: 'a{{$}}' holds '{{'"),
    ],
)
def test_what_is_refused_leaves_nothing(
    here: Here, tmp_path: Path, name: str, output: str, words: str
) -> None:
    changed = plain(name=name)
    (tmp_path / "radio.yaml").write_text(yaml.safe_dump(changed))
    code, said = here("run", "--definition", "radio.yaml", "--output", output)
    assert code == 2
    assert words in said
    assert [path.name for path in tmp_path.iterdir()] == ["radio.yaml"]
