"""The retention policy: a small strict YAML file; what it leaves out is as in ``retention.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hemix.errors import DefinitionError
from hemix.texts.documents import Document, checked, parse, read
from hemix.texts.frozen import Frozen

DEFAULT = Path(__file__).with_name("retention.yaml")
_WHAT = "a retention policy"
Days = Annotated[int, Field(ge=1, le=36_500)]


class Retention(Frozen):
    """How long what runs leave behind is kept, in days."""

    runs_days: Days
    """After a run's end its artifacts, its record on the server and what the cache has of it go."""
    versions_days: Days
    """After its last move a model version that serves no one goes."""
    champions: int = Field(ge=2, le=100)
    """Versions of the line of champions that stay, the reigning one and the one before at least."""
    checkpoints_days: Days
    """Checkpoints that were not written to for so long go."""
    exposures_days: int = Field(ge=0, le=36_500)
    """Exposure logs older than this go, but for those of the running experiment; 0: none go."""
    features_days: int = Field(ge=0, le=36_500)
    """Offline rows of the live feature store older than this go, each view's newest never; 0: none go."""
    jobs_days: Days
    """TrainJobs that ended so long ago go."""

    @staticmethod
    def load(path: Path | None = None) -> Retention:
        """The default policy with what ``path`` says put over it.

        Raises:
            DefinitionError: not YAML, an unknown key or a value that does not fit; tells every
                fault with its line and key.
        """
        return _over_default(read(path or DEFAULT, _WHAT))

    @staticmethod
    def parse(text: str) -> Retention:
        """As :meth:`load`, from the text of a policy; empty for the default."""
        return _over_default(parse(text, _WHAT, where="policy"))

    def require_longer_than(self, longest_s: int) -> None:
        """What a step may still need when its last attempt ends must be there then.

        Args:
            longest_s: the longest time that one step may take with all its attempts, in seconds.

        Raises:
            DefinitionError: something would go earlier; names the keys.
        """
        short = [
            f"{name}: {days}"
            for name, days in (
                ("runs_days", self.runs_days),
                ("versions_days", self.versions_days),
                ("checkpoints_days", self.checkpoints_days),
            )
            if days * 86_400 <= longest_s
        ]
        if short:
            raise DefinitionError(
                f"{', '.join(short)}: a step may take {longest_s / 86_400:.1f} days with all its "
                "attempts, and would lose what it reads.",
                hint="Keep them for longer, or shorten timeout and retries of the cluster settings.",
            )


def _over_default(document: Document) -> Retention:
    value = {**read(DEFAULT, _WHAT).value, **document.value}
    hint = "pipelines/retention.yaml explains every key."
    return checked(Retention, document, over=value, hint=hint)
