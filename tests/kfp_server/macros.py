"""Macros in the parameters of recurring runs, after KFP's parameter_formatter.go.

``[[RunUUID]]``, ``[[ScheduledTime]]``, ``[[CurrentTime]]``, ``[[Index]]`` and, with a Go layout,
``[[ScheduledTime.2006-01-02]]``. Times are UTC; without a layout 14 digits, ``20060102150405``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_DEFAULT = "20060102150405"
# The parts of Go's reference time that people write, longest first.
_LAYOUT = {
    "2006": "%Y",
    "January": "%B",
    "Monday": "%A",
    "Jan": "%b",
    "Mon": "%a",
    "MST": "%Z",
    "-07:00": "%:z",
    "Z07:00": "Z",
    "01": "%m",
    "02": "%d",
    "03": "%I",
    "04": "%M",
    "05": "%S",
    "06": "%y",
    "15": "%H",
}


@dataclass(frozen=True, kw_only=True)
class Macros:
    """What the macros of one run stand for."""

    run_id: str
    scheduled: datetime
    now: datetime
    index: int

    def expand(self, value: Any) -> Any:
        """``value`` with the macros in its texts, at any depth, written out."""
        if isinstance(value, str):
            return re.sub(r"\[\[(.*?)\]\]", lambda match: self._one(match[0]), value)
        if isinstance(value, list):
            return [self.expand(part) for part in value]
        if isinstance(value, dict):
            return {key: self.expand(part) for key, part in value.items()}
        return value

    def _one(self, macro: str) -> str:
        name, _, layout = macro[2:-2].partition(".")
        if macro == "[[RunUUID]]":
            return self.run_id
        if macro == "[[Index]]":
            return str(self.index)
        times = {"ScheduledTime": self.scheduled, "CurrentTime": self.now}
        if name in times:
            return times[name].strftime(go_layout(layout or _DEFAULT))
        return macro


def go_layout(layout: str) -> str:
    """A Go time layout as a strftime format."""
    return re.sub("|".join(map(re.escape, _LAYOUT)), lambda match: _LAYOUT[match[0]], layout)
