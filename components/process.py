"""What every step's process does around its work: end with its launcher, name errors in one line."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from operator import attrgetter

from hemix.errors import HemixError
from hemix.unforeseen import told_as

ERROR_MARK = "HEMIX-ERROR "
LAUNCHER = "HEMIX_LAUNCHER_PID"


@contextlib.contextmanager
def step_process() -> Iterator[None]:
    """Wrap a step's work in its own process.

    What breaks it becomes one marked line on stdout, which the launcher reads, and the error's exit
    code (:func:`hemix.unforeseen.told_as`); the whole traceback goes before it. When the launching
    process is killed the step ends too, so that the same run started again never works beside its
    own ghost.
    """
    _end_with_launcher()
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        told = told_as(error)
        traceback.print_exc()
        print(f"\n{ERROR_MARK}{json.dumps(error_record(told))}", flush=True)
        sys.exit(told.exit_code)


def error_record(error: HemixError) -> dict[str, str]:
    """A HemixError as JSON-able text: where its class is, message, hint."""
    kind = type(error)
    return {
        "module": kind.__module__,
        "type": kind.__qualname__,
        "message": error.message,
        "hint": error.hint,
    }


def error_of(record: dict[str, str]) -> HemixError:
    """The error that :func:`error_record` described, of the same class and so with its exit code.

    A class that cannot be found any more becomes :class:`HemixError`.
    """
    kind: type[HemixError] = HemixError
    with contextlib.suppress(ImportError, AttributeError):
        found = attrgetter(record["type"])(
            importlib.import_module(record.get("module", "hemix.errors"))
        )
        if isinstance(found, type) and issubclass(found, HemixError):
            kind = found
    error = kind.__new__(kind)  # some classes make their own message from other arguments
    HemixError.__init__(error, record["message"], hint=record["hint"])
    return error


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
