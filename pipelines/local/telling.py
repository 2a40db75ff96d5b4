"""What the terminal says of an error; the traceback of one that nobody foresaw goes to a file."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hemix import __version__
from hemix.errors import Unforeseen
from hemix.storage import cache_folder
from hemix.texts.shown import shown_lines
from hemix.unforeseen import told_as

DEBUG = "HEMIX_DEBUG"


def tell(error: Exception) -> int:
    """Say on stderr what is wrong and what to do; returns the exit code."""
    if isinstance(error, OSError) and not _takes_more():
        _let_go()
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE  # whoever read has gone: nobody is to be told
    told = told_as(error)
    message, hint = told.message, told.hint
    if isinstance(told, Unforeseen):
        message = f"This should not have happened: {message}"
        hint = _where_to_look(error)
    with contextlib.suppress(OSError, ValueError):  # stderr is closed or full: the code tells
        console = Console(stderr=True)
        console.print(Text.assemble(("Error: ", "bold red"), shown_lines(message)), soft_wrap=True)
        if hint:
            console.print(Text(shown_lines(hint)), soft_wrap=True)
    return told.exit_code


def _takes_more() -> bool:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


def _let_go() -> None:
    """Lead stdout nowhere, so that Python does not fail on what it still holds."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _where_to_look(error: Exception) -> str:
    again = "HEMIX_DEBUG=1 shows it here"
    text = "".join(traceback.format_exception(error))
    for folder in (cache_folder() / "errors", Path(tempfile.gettempdir())):
        try:
            file = _kept(folder, text)
        except OSError:
            continue
        return (
            f"Its traceback is in {file} ({again}). Please report it with this file, the command "
            f"and the version {__version__}."
        )
    return f"Its traceback could be written nowhere; {again}."


def _kept(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    file = folder / f"hemix-error-{now}-{os.getpid()}.log"
    file.write_text(text, encoding="utf-8", errors="replace")
    return file
