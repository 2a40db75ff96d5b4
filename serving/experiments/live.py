"""The layers that serve now: ``experiments.yaml``, read again when it changes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from hemix.errors import HemixError
from hemix.serving.experiments.assignment import Assigned
from hemix.serving.experiments.layers import Experiments

logger = logging.getLogger("hemix.serving")


class LiveExperiments:
    """Follows the file at ``path``; without one there are no layers.

    A file that cannot be used is said once in the log, and what served before goes on serving.

    Raises:
        DefinitionError: the file cannot be used at the start.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.experiments = Experiments()
        self.refresh()

    def assign(self, user_id: int | str) -> tuple[Assigned, ...]:
        """The user's variant in every layer of the file."""
        return self.experiments.assign(user_id)

    def refresh(self) -> bool:
        """Read the file again when its text changed; True when the layers changed."""
        if self._path is None:
            return False
        text = self._path.read_text() if self._path.is_file() else ""
        if text == self._seen:
            return False
        self._seen = text  # before it is parsed: what is wrong is said once
        found = Experiments.parse(text, where=str(self._path))
        changed = found != self.experiments
        self.experiments = found
        return changed

    def watch(self, every_s: float) -> None:
        """Follow the file from a thread of its own."""
        self._thread = threading.Thread(target=self._follow, args=(every_s,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _follow(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                if self.refresh():
                    names = ", ".join(layer.name for layer in self.experiments.layers) or "none"
                    logger.info("Layers of %s: %s.", self._path, names)
            except (HemixError, OSError) as error:
                logger.error("The layers stay as they were: %s", error)
