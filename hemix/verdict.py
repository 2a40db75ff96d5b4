"""A gate's verdict: the one artifact that pipeline conditions read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hemix.errors import GateFailed
from hemix.files import read_json, write_json
from hemix.texts.frozen import Frozen, parse

Direction = Literal["at_least", "at_most", "equal", "between"]


class Check(Frozen):
    """One check of a gate.

    ``value`` and ``threshold`` are in the unit the check's name says (AUC, share, milliseconds...);
    ``threshold`` is a pair for ``between``.
    """

    check: str
    value: float | None
    threshold: float | tuple[float, float] | None
    direction: Direction
    passed: bool
    slice: str = "all"
    sample_size: int = 0
    note: str = ""

    @staticmethod
    def of(
        check: str,
        value: float,
        threshold: float | tuple[float, float],
        direction: Direction,
        *,
        slice: str = "all",
        sample_size: int = 0,
        note: str = "",
    ) -> Check:
        """Decide a check; a NaN value never passes.

        Args:
            check: name of the check.
            value: what was measured.
            threshold: what it is held to; ``(low, high)`` for a band.
            direction: how the two are compared.
            slice: the rows that were measured; ``all``.
            sample_size: how many there were.
            note: a sentence for the report.
        """
        value = float(value)
        if isinstance(threshold, tuple):
            passed = threshold[0] <= value <= threshold[1]
        elif direction == "at_least":
            passed = value >= threshold
        elif direction == "at_most":
            passed = value <= threshold
        else:
            passed = value == threshold
        return Check(
            check=check,
            value=value,
            threshold=threshold,
            direction=direction,
            passed=bool(passed),
            slice=slice,
            sample_size=sample_size,
            note=note,
        )

    def sentence(self) -> str:
        """One line for a person: check, slice, value, threshold."""
        where = "" if self.slice == "all" else f" [{self.slice}]"
        note = f" ({self.note})" if self.note else ""
        direction = self.direction.replace("_", " ")
        return f"{self.check}{where}: {self.value} must be {direction} {self.threshold}{note}"


class Verdict(Frozen):
    """All checks of one gate, and whether they passed together."""

    gate: str
    passed: bool
    checks: tuple[Check, ...]

    @staticmethod
    def of(gate: str, checks: list[Check] | tuple[Check, ...]) -> Verdict:
        """A verdict that passes when every check does (and there is at least one)."""
        return Verdict(
            gate=gate,
            passed=bool(checks) and all(check.passed for check in checks),
            checks=tuple(checks),
        )

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @staticmethod
    def read(path: Path) -> Verdict:
        """Read a gate's ``verdict.json``.

        Raises:
            StorageError: it is missing or holds something else.
        """
        return parse(Verdict, read_json(path), where=str(path), what="a verdict")

    def require(self) -> None:
        """Raise :class:`GateFailed` that names each failed check, its value and its threshold."""
        if not self.passed:
            lines = "; ".join(check.sentence() for check in self.failures) or "no check ran"
            raise GateFailed(f"Gate {self.gate} failed: {lines}.", hint="Nothing live was changed.")
