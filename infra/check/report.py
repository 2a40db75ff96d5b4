"""What was checked and what came of it, counted."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Report:
    """Counts a checker, and what is to be told.

    ``refused``: faults of ours. ``passed_broken``: what was broken on purpose and a checker took.
    ``broken`` counts kinds of mistakes: one that is made in ten objects is one.
    """

    checked: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    broken: dict[str, set[str]] = field(default_factory=dict)
    passed_broken: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was judged by less than the rest."""
    verbose: bool = True

    def good(self, checker: str, title: str, problems: Iterable[str]) -> None:
        """A checker's word on something that should be good."""
        self.checked[checker] = self.checked.get(checker, 0) + 1
        found = list(problems)
        if found:
            self.refused.append(f"{checker}: {title}: {'; '.join(found)}")
            self._say(self.refused[-1])

    def bad(self, checker: str, title: str, problems: Iterable[str], kind: str = "") -> None:
        """A checker's word on something that was broken on purpose.

        ``kind``: of the mistake, where it is made more than once; else ``title``.
        """
        self.broken.setdefault(checker, set()).add(kind or title)
        if not list(problems):
            self.passed_broken.append(f"{checker}: {title}")
            self._say(f"NOT REFUSED: {self.passed_broken[-1]}")

    def lacks(self, what: str) -> None:
        """A checker cannot run here."""
        self.missing.append(what)
        self._say(f"MISSING: {what}")

    def note(self, what: str) -> None:
        """Something was judged by less than the rest; told once."""
        if what not in self.notes:
            self.notes.append(what)

    @property
    def exit_code(self) -> int:
        if self.refused or self.passed_broken:
            return 1
        return 2 if self.missing else 0

    def text(self) -> str:
        """A line a checker, then the counts."""
        rows = [("checked by", "objects", "kinds of mistakes")]
        for checker in dict.fromkeys((*self.checked, *self.broken)):
            good, bad = self.checked.get(checker, 0), len(self.broken.get(checker, ()))
            rows.append((checker, str(good), str(bad)))
        width = max(len(row[0]) for row in rows)
        lines = [f"{name:<{width}}  {right:>7}  {wrong:>17}" for name, right, wrong in rows]
        lines += [f"not validated: {what}" for what in self.notes]
        lines += [f"MISSING: {what}" for what in self.missing]
        told, worse = sum(self.checked.values()), sum(map(len, self.broken.values()))
        missed = (
            f"{len(self.passed_broken)} mistakes not refused"
            if self.passed_broken
            else "all refused"
        )
        lines.append(
            f"cluster-check: {told} objects checked, {len(self.refused)} refused"
            + (f"; {worse} kinds of mistakes, {missed}" if self.broken else "")
            + (f"; {len(self.missing)} things missing" if self.missing else "")
        )
        return "\n".join(lines)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, file=sys.stderr, flush=True)
