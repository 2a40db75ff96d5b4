"""Loading versions so that a bad one harms no other: any error, a hang, a version that is refused.

What loaded is kept until nobody names it any more. What did not load is left alone until its files
have changed or a rest has passed, which doubles with every failure.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from hemix.errors import FeatureStoreError, HemixError, ModelVersionError
from hemix.serving.messages.soundness import UnsoundScores
from hemix.serving.metrics import VERSION_REFUSED

logger = logging.getLogger("hemix.serving")

V = TypeVar("V")

Reason = Literal["files", "features", "scores", "types", "hang", "failures", "predictor", "error"]
REASONS: tuple[Reason, ...] = (
    *("files", "features", "scores", "types", "hang", "failures", "predictor", "error"),
)


class PredictorUnavailable(HemixError):
    """A version's predictor did not answer with scores."""

    exit_code = 10
    http_status = 503


class PredictorFaulty(PredictorUnavailable):
    """A version's predictor answered, but with a failure of its own or with unsound scores."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a version does not serve, what its files were then, and when it may be tried again."""

    reason: Reason
    error: HemixError
    files: Hashable
    again: float


class Loader(Generic[V]):
    """Loads versions by name.

    Args:
        load: loads and warms the version of a name.
        files: something that changes when a version's files do; None when that cannot be known.
        retry_s: first rest of a version that would not load; it doubles.
        longest_s: longest rest.
        limit_s: how long a version may take to load. One that takes longer is refused; it is not
            tried again before that attempt has ended, and when it ends well it serves after all.
    """

    def __init__(
        self,
        load: Callable[[str], V],
        *,
        files: Callable[[str], Hashable] = lambda version: None,
        retry_s: float = 60.0,
        longest_s: float = 3600.0,
        limit_s: float = 600.0,
    ) -> None:
        self._load, self._files = load, files
        self._retry_s, self._longest_s, self._limit_s = retry_s, longest_s, limit_s
        self._held: dict[str, V] = {}
        self._attempts: dict[str, _Attempt[V]] = {}
        self._rests: dict[str, float] = {}
        self.refused: dict[str, Refusal] = {}

    def get(self, name: str) -> V | None:
        """The version, loaded now if need be; None when it is refused."""
        if name in self._held:
            return self._held[name]
        refusal = self.refused.get(name)
        if refusal is not None and not self._may_try(name, refusal):
            return None
        files = self._files_of(name)
        attempt = self._attempts.pop(name, None) or _Attempt(self._load, name)
        if not attempt.wait(self._limit_s if refusal is None or refusal.reason != "hang" else 0.0):
            self._attempts[name] = attempt
            text = f"Version {name} did not load in {self._limit_s:g} s."
            self._refuse(name, "hang", ModelVersionError(text), files)
            return None
        if attempt.loaded is None:
            assert attempt.error is not None
            self._refuse(name, *_named(name, attempt.error), files)
            return None
        self._held[name] = attempt.loaded
        self._forgive(name)
        logger.info("%s is loaded and warm.", name)
        return attempt.loaded

    def refuse(self, name: str, reason: Reason, error: HemixError) -> None:
        """Take a version that did load out of service."""
        self._held.pop(name, None)
        self._refuse(name, reason, error, self._files_of(name))

    def due(self) -> bool:
        """Whether a refused version may be tried again."""
        return any(self._may_try(name, refusal) for name, refusal in self.refused.items())

    def keep(self, names: Collection[str]) -> None:
        """Forget all others, their refusals too."""
        for name in self._held.keys() - set(names):
            del self._held[name]
        for name in self.refused.keys() - set(names):
            self._forgive(name)
        for name in self._attempts.keys() - set(names):
            if self._attempts[name].wait(0.0):
                del self._attempts[name]

    def _may_try(self, name: str, refusal: Refusal) -> bool:
        if name in self._attempts:
            return self._attempts[name].wait(0.0)
        return time.monotonic() >= refusal.again or self._files_of(name) != refusal.files

    def _files_of(self, name: str) -> Hashable:
        try:
            return self._files(name)
        except (HemixError, OSError) as error:
            return type(error).__name__

    def _refuse(self, name: str, reason: Reason, error: HemixError, files: Hashable) -> None:
        rest_s = min(self._rests.get(name, self._retry_s / 2) * 2, self._longest_s)
        before = self.refused.get(name)
        self._rests[name] = rest_s
        self.refused[name] = Refusal(
            reason=reason,
            error=error,
            files=files,
            again=time.monotonic() + rest_s,
        )
        for other in REASONS:
            VERSION_REFUSED.labels(name, other).set(float(other == reason))
        if before is None or str(before.error) != str(error):
            logger.error("Version %s is refused (%s): %s", name, reason, error)

    def _forgive(self, name: str) -> None:
        self._rests.pop(name, None)
        if self.refused.pop(name, None) is not None:
            for reason in REASONS:
                VERSION_REFUSED.labels(name, reason).set(0.0)


class _Attempt(Generic[V]):
    """One loading, on a thread of its own: Python can stop waiting for a thread, not stop it."""

    def __init__(self, load: Callable[[str], V], name: str) -> None:
        self.loaded: V | None = None
        self.error: BaseException | None = None
        self._done = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(load, name), name=f"loading {name}", daemon=True
        )
        thread.start()

    def _run(self, load: Callable[[str], V], name: str) -> None:
        try:
            self.loaded = load(name)
            if self.loaded is None:
                raise TypeError("nothing was loaded")
        except BaseException as error:  # whatever a version's files make a library raise
            self.error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)


def _named(name: str, error: BaseException) -> tuple[Reason, HemixError]:
    """Why, in one word and in a sentence."""
    if isinstance(error, UnsoundScores):
        return "scores", error
    if isinstance(error, FeatureStoreError):
        return "features", error
    if isinstance(error, ModelVersionError):
        return "files", error
    if isinstance(error, HemixError):
        return ("predictor" if isinstance(error, PredictorUnavailable) else "files"), error
    said = " ".join(str(error).split())[:300]  # TensorFlow's are pages long
    text = f"Version {name} does not load ({type(error).__name__}: {said})."
    return "error", ModelVersionError(text)
