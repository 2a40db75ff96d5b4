"""Rankers in torch: layers, HeMix and its peers, losses, metrics, training."""

import sys


def keep_triton_out() -> None:
    """Where TensorFlow was imported first, Triton counts as not installed from here on.

    Both register the same options of LLVM: Triton, which torch loads by itself at an optimiser's
    first step, would abort the process. Without a GPU nothing needs it; with one, events are read
    by the tiles (``models/layers/attention/tiled.py``).
    """
    if "tensorflow" in sys.modules:
        sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # ImportError from then on


keep_triton_out()
