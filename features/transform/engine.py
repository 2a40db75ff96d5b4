"""TensorFlow as the transform wants it: quiet, and off the GPU that training and serving need."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

_NOTE = re.compile(
    rb"^(WARNING: All log messages before absl|[IW]\d{4} \d\d:\d\d:|To enable the following instructions)"
)
"""Lines of TensorFlow's start: of severity information and warning."""


def tensorflow() -> Any:
    """Import TensorFlow without its start-up chatter; look-ups need no GPU, so none is claimed.

    Left alone, TensorFlow takes almost all memory of a GPU that torch is about to use. Triton, which
    torch's optimisers load, comes first: imported after TensorFlow it aborts the process. Of its two
    Keras, neither used here, the one that tf.Transform imports anyway takes two seconds less.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if "tensorflow" not in sys.modules and find_spec("triton"):
        import triton  # noqa: F401
    with contextlib.nullcontext() if "tensorflow" in sys.modules else _quietly():
        import tensorflow as tf

        if tf.config.get_visible_devices("GPU"):
            tf.config.set_visible_devices([], "GPU")
    return tf


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Hold stderr back and pass on all but TensorFlow's notes, which no setting turns off."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _NOTE.match(line)))
