"""Reading what a run left: each part is there, or the reader learns why it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hemix.components.steps import BY_NAME, GATES
from hemix.verdict import Check, Verdict

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A part that the run did not make, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A gate as the page shows it: ``state`` is passed, failed or not run."""

    name: str
    title: str
    state: str
    checks: tuple[Check, ...] = ()

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def main(self) -> tuple[Check, ...]:
        """Failed checks first, then those that passed on everything."""
        return self.failures + tuple(c for c in self.checks if c.passed and not _is_slice(c))

    @property
    def slices(self) -> tuple[Check, ...]:
        """The checks of single slices that passed."""
        return tuple(c for c in self.checks if c.passed and _is_slice(c))


def _is_slice(check: Check) -> bool:
    return "=" in check.slice


def read_gates(verdicts: Mapping[str, Path | None]) -> tuple[Gate, ...]:
    """The gates in the order of the run; one without a verdict did not run."""
    names = dict.fromkeys((*GATES, *verdicts))
    gates = []
    for name in names:
        path = verdicts.get(name)
        title = BY_NAME[name].gate if name in BY_NAME else name
        if path is None or not path.is_file():
            gates.append(Gate(name=name, title=title, state="not run"))
            continue
        verdict = Verdict.read(path)
        state = "passed" if verdict.passed else "failed"
        gates.append(Gate(name=name, title=title, state=state, checks=verdict.checks))
    return tuple(gates)


def stopped_by(gates: tuple[Gate, ...]) -> Gate | None:
    """The first gate that failed."""
    return next((gate for gate in gates if gate.state == "failed"), None)


def read(path: Path | None, reader: Callable[[Path], T], gates: tuple[Gate, ...]) -> T | Missing:
    """``reader(path)``, or why there is nothing to read. Damaged artifacts still raise."""
    if path is None or not path.exists():
        gate = stopped_by(gates)
        why = f"Not run: gate {gate.name} failed." if gate else "Not part of this run."
        return Missing(reason=why)
    return reader(path)
