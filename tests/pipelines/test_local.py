"""kfp.local as we use it: what is observed, cached, and reported when a task breaks."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from kfp import dsl
from kfp.dsl import Artifact, Output

from hemix.errors import DataError, HemixError
from hemix.pipelines.local.execution import LocalRun, StepResult

pytestmark = pytest.mark.slow


@dsl.component(base_image="hemix/python:test", install_kfp_package=False)
def count_up(start: int, made: Output[Artifact]) -> int:
    """Write a number."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.progress import say

    with step_process():
        print("a library talks")
        say(f"counting from {start}")
        Path(made.path).write_text(str(start + 1))
    return start + 1


@dsl.component(base_image="hemix/python:test", install_kfp_package=False)
def break_down(how: str, made: Output[Artifact]) -> None:
    """Fail."""
    from hemix.components.process import step_process
    from hemix.errors import DataError

    with step_process():
        if how == "named":
            raise DataError("column 'x' of a.parquet is missing.", hint="Add it.")
        raise ValueError("the sky fell")


@dsl.component(base_image="hemix/python:test", install_kfp_package=False)
def linger(pid_file: str, made: Output[Artifact]) -> None:
    """Say who works, then work for long."""
    import os
    import time
    from pathlib import Path

    from hemix.components.process import step_process

    with step_process():
        Path(pid_file).write_text(str(os.getpid()))
        time.sleep(120)


@dsl.pipeline(name="lingering")
def lingering(pid_file: str) -> None:
    linger(pid_file=pid_file)


@dsl.pipeline(name="counting")
def counting(start: int = 1, how: str = "") -> None:
    first = count_up(start=start)
    with dsl.If(first.outputs["Output"] > 5, name="large"):
        count_up(start=first.outputs["Output"])
    with dsl.If(how != "", name="broken"):
        break_down(how=how)


@dataclass
class Notes:
    lines: list[str] = field(default_factory=list)
    results: list[StepResult] = field(default_factory=list)

    def started(self, step: str) -> None:
        self.lines.append(f"start {step}")

    def said(self, step: str, line: str) -> None:
        self.lines.append(f"{step}: {line}")

    def finished(self, result: StepResult) -> None:
        self.results.append(result)


def run(root: Path, **arguments: object) -> Notes:
    notes = Notes()
    LocalRun(root=root, logs=root / "logs", observer=notes).run(counting, arguments)
    return notes


def test_tasks_are_observed_cached_and_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = run(tmp_path, start=7)
    assert [(r.name, r.succeeded, r.cached) for r in first.results] == [
        ("count_up", True, False),
        ("count_up_2", True, False),
    ]
    assert first.lines == [
        "start count_up",
        "count_up: counting from 7",
        "start count_up_2",
        "count_up_2: counting from 8",
    ]
    assert [Path(r.artifacts["made"]).read_text() for r in first.results] == ["8", "9"]
    assert first.results[1].parameters == {"Output": 9}
    assert "a library talks" in (tmp_path / "logs" / "count_up.log").read_text()
    assert "a library talks" not in capfd.readouterr().out

    second = run(tmp_path, start=7)
    assert [r.cached for r in second.results] == [True, True]
    assert [r.artifacts for r in second.results] == [r.artifacts for r in first.results]

    Path(first.results[1].artifacts["made"]).unlink()
    third = run(tmp_path, start=7)
    assert [r.cached for r in third.results] == [True, False]


def test_paths_that_name_python_stay_as_they_are(tmp_path: Path) -> None:
    """Outputs below ``lib/python3.11``, as packages and their data are."""
    root = tmp_path / "lib" / "python3.11"
    (result,) = [r for r in run(root, how="").results if r.name == "count_up"]
    assert result.succeeded
    assert Path(result.artifacts["made"]).read_text() == str(result.parameters["Output"])
    assert result.artifacts["made"].startswith(str(root))


def test_a_false_condition_runs_nothing(tmp_path: Path) -> None:
    assert [r.name for r in run(tmp_path, start=1).results] == ["count_up"]


def test_a_named_error_arrives_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, how="named")
    assert caught.value.message == "column 'x' of a.parquet is missing."
    assert caught.value.hint == "Add it."


def test_any_other_error_names_the_step_and_its_log(tmp_path: Path) -> None:
    with pytest.raises(HemixError, match="break_down broke: ValueError: the sky fell") as caught:
        run(tmp_path, how="else")
    log = tmp_path / "logs" / "break_down.log"
    assert str(log) in caught.value.hint
    assert "Traceback" in log.read_text()


def test_a_failed_task_is_not_cached(tmp_path: Path) -> None:
    for _ in range(2):
        notes = Notes()
        with pytest.raises(DataError):
            LocalRun(root=tmp_path, logs=tmp_path / "logs", observer=notes).run(
                counting, {"how": "named"}
            )
        assert [r.name for r in notes.results if not r.succeeded] == ["break_down"]


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    run(tmp_path, start=1)
    assert dict(os.environ) == before


def test_a_step_ends_when_its_launcher_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "from pathlib import Path\n"
        "from hemix.pipelines.local.execution import LocalRun\n"
        "from tests.pipelines.test_local import Notes, lingering\n"
        f"root = Path({str(tmp_path)!r})\n"
        "local = LocalRun(root=root, logs=root / 'logs', observer=Notes())\n"
        f"local.run(lingering, {{'pid_file': {str(pid_file)!r}}})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as launcher:
        try:
            _until(lambda: pid_file.exists() and pid_file.read_text() != "")
        finally:
            launcher.kill()
    step = int(pid_file.read_text())
    _until(lambda: not psutil.pid_exists(step))


def _until(condition: Callable[[], bool], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
