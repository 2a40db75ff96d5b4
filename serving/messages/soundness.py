"""Scores that can be shown to a user: probabilities of every candidate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hemix.errors import HemixError
from hemix.serving.messages.answer import Floats


class UnsoundScores(HemixError):
    """A version's scores are no probabilities; it must not answer with them."""

    exit_code = 5
    http_status = 500


def require_sound(version: str, scores: Mapping[str, Floats], candidates: int) -> None:
    """Raise UnsoundScores unless every task has a probability in [0, 1] for each candidate."""
    if not scores:
        raise UnsoundScores(f"Version {version} scores no task.")
    for task, values in scores.items():
        if values.shape != (candidates,):
            raise UnsoundScores(
                f"Version {version}: {task} has scores {list(values.shape)}, not [{candidates}]."
            )
        # A NaN is smaller and larger than nothing, so it fails both.
        if not (values.min() >= 0.0 and values.max() <= 1.0):
            wrong = ~((values >= 0.0) & (values <= 1.0))
            raise UnsoundScores(
                f"Version {version}: {task} of {int(np.count_nonzero(wrong))} in {candidates}"
                f" candidates is no probability ({values[wrong][0]})."
            )
