"""What a step broke of, told from what its process printed and how it ended."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hemix.errors import DataError, EnvironmentProblem, HemixError, StorageError
from hemix.pipelines.local.task_output import TaskOutput

STEP = """
import os, sys, signal
from hemix.components.process import step_process
with step_process():
    {work}
"""


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str], tuple[HemixError, str, list[str]]]:
    """Run code as a step's process: what it broke of, its log, what it said of its progress."""

    def run(code: str) -> tuple[HemixError, str, list[str]]:
        said: list[str] = []
        output = TaskOutput(lambda step, line: said.append(f"{step} {line}"), tmp_path)
        output.open("mix")
        status = output.of_process([sys.executable, "-c", code])
        output.close(status == 0)
        assert status != 0
        return output.failure(), (tmp_path / "mix.log").read_text(), said

    return run


Broken = Callable[[str], tuple[HemixError, str, list[str]]]


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (
            "raise ValueError('bad zone +01:30\\n\\nset Z to forbid it')",
            "ValueError: bad zone +01:30",
        ),
        ("raise ValueError", "ValueError (<string>, line 5)"),
        ("sys.exit(7)", "it ended itself with the exit status 7"),
        ("sys.exit(0)", "it ended itself with the exit status 0"),
        (
            "raise UnicodeDecodeError('utf8', b'\\xff', 0, 1, 'odd')",
            "UnicodeDecodeError: 'utf8' codec",
        ),
        ("sys.stdout.buffer.write(b'caf\\xe9'); [][1]", "IndexError: list index out of range"),
        ("print('half a line', end=''); {}['u']", "KeyError: 'u'"),
        (
            "import warnings, atexit; atexit.register(lambda: warnings.warn('leaked'))\n"
            "    try: 1 / 0\n"
            "    except ZeroDivisionError as error: raise TypeError('outer') from error",
            "TypeError: outer",
        ),
    ],
)
def test_kind_and_first_line_and_the_log(broken: Broken, work: str, line: str) -> None:
    error, log, _ = broken(STEP.format(work=work))
    assert type(error) is HemixError
    assert error.exit_code == 1
    assert error.message.startswith(f"Step mix broke: {line}")
    assert "mix.log" in error.hint
    assert "Traceback" in log
    assert "HEMIX-ERROR" not in log


def test_an_error_of_ours_arrives_whole_and_its_traceback_is_in_the_log(broken: Broken) -> None:
    work = (
        "from hemix.errors import DataError\n"
        "    print('\\x1ecounting')\n"
        "    raise DataError('a.csv: row 7 is bad.', hint='Mend it.')"
    )
    error, log, said = broken(STEP.format(work=work))
    assert type(error) is DataError
    assert (error.message, error.hint) == ("a.csv: row 7 is bad.", "Mend it.")
    assert said == ["mix counting"]
    assert "DataError: a.csv" in log


def test_what_breaks_outside_of_the_work_is_read_in_the_log(broken: Broken) -> None:
    error, _, _ = broken("import no_such_module_of_ours")
    assert "broke: ModuleNotFoundError: No module named 'no_such_module_of_ours'" in error.message
    error, _, _ = broken("import sys; print('out of cheese'); sys.exit(3)")
    assert error.message.endswith("broke: it ended with status 3, last saying: out of cheese")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("SIGKILL", EnvironmentProblem, "memory"),
        ("SIGTERM", EnvironmentProblem, "ended from outside"),
        ("SIGBUS", StorageError, "SIGBUS"),
        ("SIGSEGV", HemixError, "broke: it ended by SIGSEGV, last saying: at work"),
    ],
)
def test_a_signal_is_named(broken: Broken, name: str, kind: type[HemixError], words: str) -> None:
    work = f"print('at work', flush=True); os.kill(os.getpid(), signal.{name})"
    error, _, _ = broken(STEP.format(work=work))
    assert type(error) is kind
    assert name in error.message
    assert words in error.message
    shell, _, _ = broken(
        f"import os, subprocess, sys\nprint('at work', flush=True)\n"
        f"child = subprocess.run(['sh', '-c', 'kill -{name.removeprefix('SIG')} $$; true'])\n"
        f"os._exit(128 - child.returncode)"
    )
    assert type(shell) is kind


@pytest.mark.parametrize(
    "work",
    [
        "import sqlite3; raise sqlite3.OperationalError('database or disk is full')",
        "raise OSError(28, 'No space left on device', '/out/x')",
    ],
)
def test_a_full_disk_is_a_storage_error(broken: Broken, work: str) -> None:
    error, _, _ = broken(STEP.format(work=work))
    assert type(error) is StorageError
    assert error.exit_code == 9
    assert "disk is full" in error.hint
    outside, _, _ = broken(f"import sys\n{work}")  # as kfp's own writing of outputs
    assert type(outside) is StorageError


def test_a_log_that_cannot_be_written_does_not_break_the_step(tmp_path: Path) -> None:
    output = TaskOutput(lambda *_: None, tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    output.open("mix")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        status = output.of_process([sys.executable, "-c", "print('x' * 90_000 + '\\n' * 90_000)"])
        output.close(status == 0)
        assert status == 0
        assert output.failed is None
        output.open("mix")
        output.close(output.of_process([sys.executable, "-c", "print('x' * 9_000); exit(1)"]) == 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = output.failure()
    assert type(error) is StorageError
    assert "mix.log" in error.message
