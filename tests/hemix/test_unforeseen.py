"""One line says of what kind an unforeseen error is, and its first line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hemix.unforeseen import described, last_error


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  cannot parse 'x'\n\nTry y.\n"), "ValueError: cannot parse 'x'"),
        (KeyError("user_id"), "KeyError: 'user_id'"),
        (RuntimeError(), "RuntimeError"),
        (Mute(), "Mute"),
        (SystemExit(3), "it ended itself with the exit status 3"),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [OSError("late")])]), "OSError: late"),
        (ValueError("\x1b[31mred\x1b[0m\x07"), "ValueError: red"),
        (ValueError("a" * 400), f"ValueError: {'a' * 300}..."),
        (
            RuntimeError(
                "Traceback (most recent call last):\n  File 'w.py'\n    f()\n"
                "polars.exceptions.ComputeError: bad zone [while running 'scatter']\n\nmore\n"
            ),
            "ComputeError: bad zone [while running 'scatter']",
        ),
    ],
)
def test_kind_and_first_line(error: BaseException, line: str) -> None:
    assert described(error) == line


def test_without_a_message_it_says_where() -> None:
    with pytest.raises(AssertionError) as caught:
        exec(compile("\n\nassert False", "made_up.py", "exec"))
    assert described(caught.value) == "AssertionError (made_up.py, line 3)"


SCRIPT = """
import sys, warnings
class Late:
    def __del__(self):
        raise OSError("while going")
def inner():
    raise LookupError("no such day")
keep = Late()
try:
    inner()
except LookupError as error:
    print("Traceback is near", file=sys.stderr)
    import atexit
    atexit.register(lambda: warnings.warn("one more thing"))
    {raised}
"""


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("raise", "LookupError: no such day"),
        ("raise TypeError('first\\nsecond') from error", "TypeError: first"),
        ("raise ArithmeticError", "ArithmeticError"),
        ("raise UnicodeError('\\udcff')", "UnicodeError: \\udcff"),
    ],
)
def test_a_log_tells_the_last_error_and_not_what_came_after_it(raised: str, line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(raised=raised)], stderr=subprocess.PIPE, check=False
    )
    log = done.stderr.decode(errors="replace")
    assert "while going" in log
    assert "one more thing" in log
    assert last_error(log) == line


def test_a_log_without_a_traceback_tells_nothing() -> None:
    assert last_error("") is None
    assert last_error("all is well\nValueError: only said\n") is None
