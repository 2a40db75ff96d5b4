"""TensorFlow as the transform wants it: quiet, and off the GPU that training and serving need."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any


def tensorflow() -> Any:
    """Import TensorFlow without its start-up chatter; look-ups need no GPU, so none is claimed.

    Left alone, TensorFlow takes almost all memory of a GPU that torch is about to use. Triton, which
    torch's optimisers load, comes first: imported after TensorFlow it aborts the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if find_spec("triton"):
        import triton  # noqa: F401
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    return tf
