"""What every step's process does around its work: end with its launcher, name errors in one line."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator

from hemix.errors import HemixError

ERROR_MARK = "HEMIX-ERROR "
LAUNCHER = "HEMIX_LAUNCHER_PID"
DEBUG = "HEMIX_DEBUG"


@contextlib.contextmanager
def step_process() -> Iterator[None]:
    """Wrap a step's work in its own process.

    A :class:`HemixError` becomes one marked line on stdout, which the launcher reads, and the
    error's exit code; any other exception keeps its traceback. When the launching process is killed
    the step ends too, so that the same run started again never works beside its own ghost.
    """
    _end_with_launcher()
    try:
        yield
    except HemixError as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        print(ERROR_MARK + json.dumps(error_record(error)), flush=True)
        sys.exit(error.exit_code)


def error_record(error: HemixError) -> dict[str, str]:
    """A HemixError as JSON-able text: type, message, hint."""
    return {"type": type(error).__name__, "message": error.message, "hint": error.hint}


def error_of(record: dict[str, str]) -> HemixError:
    """The error that :func:`error_record` described; unknown types become the base class."""
    kinds: list[type[HemixError]] = [HemixError, *HemixError.__subclasses__()]
    kind = next((kind for kind in kinds if kind.__name__ == record["type"]), HemixError)
    return kind(record["message"], hint=record["hint"])


def _end_with_launcher() -> None:
    launcher = os.environ.get(LAUNCHER)
    if not launcher:
        return

    def watch(pid: int) -> None:
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                os._exit(1)
            time.sleep(0.5)

    threading.Thread(target=watch, args=(int(launcher),), daemon=True).start()
