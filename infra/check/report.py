"""What was checked and what came of it, counted."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Report:
    """Counts a checker, and what is to be told.

    ``refused``: faults of ours. ``passed_broken``: objects broken on purpose that a checker took.
    """

    checked: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    passed_broken: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    verbose: bool = True

    def good(self, checker: str, title: str, problems: Iterable[str]) -> None:
        """A checker's word on something that should be good."""
        self.checked[checker] = self.checked.get(checker, 0) + 1
        found = list(problems)
        if found:
            self.refused.append(f"{checker}: {title}: {'; '.join(found)}")
            self._say(self.refused[-1])

    def bad(self, checker: str, title: str, problems: Iterable[str]) -> None:
        """A checker's word on something that was broken on purpose."""
        self.broken[checker] = self.broken.get(checker, 0) + 1
        if not list(problems):
            self.passed_broken.append(f"{checker}: {title}")
            self._say(f"NOT REFUSED: {self.passed_broken[-1]}")

    def lacks(self, what: str) -> None:
        """A checker cannot run here."""
        self.missing.append(what)
        self._say(f"MISSING: {what}")

    @property
    def exit_code(self) -> int:
        if self.refused or self.passed_broken:
            return 1
        return 2 if self.missing else 0

    def text(self) -> str:
        """A line a checker, then the counts."""
        rows = [("checked by", "objects", "broken on purpose")]
        for checker in dict.fromkeys((*self.checked, *self.broken)):
            good, bad = self.checked.get(checker, 0), self.broken.get(checker, 0)
            rows.append((checker, str(good), str(bad)))
        width = max(len(row[0]) for row in rows)
        lines = [f"{name:<{width}}  {right:>7}  {wrong:>17}" for name, right, wrong in rows]
        lines += [f"MISSING: {what}" for what in self.missing]
        told, worse = sum(self.checked.values()), sum(self.broken.values())
        caught = worse - len(self.passed_broken)
        lines.append(
            f"cluster-check: {told} objects checked, {len(self.refused)} refused; "
            f"{worse} broken on purpose, {caught} refused"
            + (f"; {len(self.missing)} things missing" if self.missing else "")
        )
        return "\n".join(lines)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, file=sys.stderr, flush=True)
