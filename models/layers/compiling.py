"""What torch's compiler leaves alone, without loading the compiler before it is used.

``torch.compiler.disable`` imports the compiler, and with it Triton, when a module is imported. That
takes a second and a half nobody needs who only serves, and a process that has imported TensorFlow is
aborted by it: both register the same options of LLVM.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from hemix.errors import EnvironmentProblem
from hemix.models import keep_triton_out

P = ParamSpec("P")
R = TypeVar("R")
_LEFT_ALONE: list[Callable[[], None]] = []


def left_alone(function: Callable[P, R]) -> Callable[P, R]:
    """``torch.compiler.disable``, which :func:`load_compiler` puts into effect."""
    outside: list[Callable[P, R]] = []

    def leave() -> None:
        outside.append(torch.compiler.disable(function))  # type: ignore[no-untyped-call]

    _LEFT_ALONE.append(leave)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling() and outside:
            return outside[0](*args, **kwargs)
        return function(*args, **kwargs)

    return call


def load_compiler() -> None:
    """Have torch's compiler ready, and every :func:`left_alone` function outside it."""
    keep_triton_out()
    importlib.import_module("torch._dynamo")
    while _LEFT_ALONE:
        _LEFT_ALONE.pop()()


def load_triton() -> None:
    """Import Triton.

    Raises:
        EnvironmentProblem: TensorFlow was imported first; the process would be aborted.
    """
    if "tensorflow" in sys.modules and sys.modules.get("triton") is None:
        raise EnvironmentProblem(
            "TensorFlow was imported before Triton, which this process now needs; they do not go "
            "together in that order.",
            hint="Import triton before tensorflow in this program.",
        )
    importlib.import_module("triton")
