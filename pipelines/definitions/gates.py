"""A gate inside a pipeline: what stands beneath it runs when its verdict passed, else the run stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kfp import dsl

from hemix.components.stop.component import stop
from hemix.pipelines.definitions.pipeline import PASSED


@contextmanager
def passed(gate: Any, *, failed: str, name: str, revision: Any) -> Iterator[None]:
    """The block of what runs behind a gate.

    Args:
        gate: the gate's task: it says whether it passed and has the artifact ``verdict``.
        failed: name of the block that stops the run.
        name: name of the block that goes on.
        revision: digest of the source code.
    """
    with dsl.If(gate.outputs[PASSED] == False, name=failed):  # noqa: E712
        stop(verdict=gate.outputs["verdict"], revision=revision)
    with dsl.If(gate.outputs[PASSED] == True, name=name):  # noqa: E712
        yield
