"""What a log holds that does not count: how much, for which reason, with an example of each."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class LeftOut:
    """``counts`` and ``examples`` a reason; an example is the first there was."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, count: int, example: str = "") -> None:
        """Count; nothing happens for a count of 0."""
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count
            self.examples.setdefault(reason, example)

    def join(self, other: LeftOut) -> None:
        """Add what ``other`` holds."""
        for reason, count in other.counts.items():
            self.add(reason, count, other.examples.get(reason, ""))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def taken(self) -> LeftOut:
        """All that it holds, which it then holds no more."""
        taken = LeftOut(counts=dict(self.counts), examples=dict(self.examples))
        self.counts.clear()
        self.examples.clear()
        return taken
