"""``hemix compile``: files that are whole, or one error and none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hemix.cli.main import main
from hemix.components.steps import BY_NAME
from tests.pipelines.ir import text_of

Compile = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hemix_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Compile:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEMIX_DEBUG", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hemix", "compile", *arguments])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        told = capsys.readouterr()
        assert isinstance(code, int)
        return code, told.out, told.err

    return call


def test_a_pipeline_is_checked_and_written(tmp_path: Path, hemix_compile: Compile) -> None:
    code, out, err = hemix_compile("backfill", "--check")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Checked backfill: 4 tasks, 4 components, 3 executors.",
        "Wrote backfill.yaml.",
    ]
    assert (tmp_path / "backfill.yaml").read_text() == text_of("backfill")


def test_settings_are_used(tmp_path: Path, hemix_compile: Compile) -> None:
    (tmp_path / "mine.yaml").write_text("images: {prefix: registry.example.com/hemix, tag: v7}\n")
    code, _, _ = hemix_compile("component:train", "--settings", "mine.yaml", "-o", "train.yaml")
    assert code == 0
    assert "image: registry.example.com/hemix/train:v7" in (tmp_path / "train.yaml").read_text()


def test_every_step_as_a_component(tmp_path: Path, hemix_compile: Compile) -> None:
    code, out, _ = hemix_compile("--components", "steps", "--check")
    assert code == 0
    assert out.splitlines()[-1] == f"Wrote {len(BY_NAME)} files."
    assert {path.stem for path in (tmp_path / "steps").iterdir()} == set(BY_NAME)
    assert [path.name for path in tmp_path.iterdir()] == ["steps"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("images: {tag: latest}", "never latest"),
        ("steps: {train: {gpus: 1}}", "steps.train.gpus"),
        (None, "mine.yaml: cannot read"),
    ],
)
def test_bad_settings_write_nothing(
    tmp_path: Path, hemix_compile: Compile, settings: str | None, told: str
) -> None:
    if settings is not None:
        (tmp_path / "mine.yaml").write_text(settings)
    code, _, err = hemix_compile("training", "--settings", "mine.yaml")
    assert code == 2
    assert told in err
    assert not (tmp_path / "training.yaml").exists()


def test_what_fails_its_check_is_not_written(
    tmp_path: Path, hemix_compile: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = text_of("experiment")
    broken = sound.replace("localhost/hemix/serve:", "hemix/serve:latest # ")
    monkeypatch.setattr("hemix.pipelines.compiler.compiler.compiled", lambda *_: broken)
    code, _, err = hemix_compile("experiment", "--check")
    assert code == 2
    assert "exec-experiment: image 'hemix/serve:latest' is not pinned" in err
    assert not list(tmp_path.iterdir())
