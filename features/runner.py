"""Beam options from a step's flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def beam_options(flags: Sequence[str]) -> Any:
    """``PipelineOptions`` of these flags; without ``--runner`` the pipeline runs in this process.

    The name DirectRunner first tries to download another runner; FnApiRunner is the one it means.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    flags = list(flags)
    if not any(flag.startswith("--runner") for flag in flags):
        flags.append("--runner=FnApiRunner")
    return PipelineOptions(flags)
