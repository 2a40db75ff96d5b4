"""Predicted over observed, once outcomes arrive: answers are remembered, outcomes join by request.

Of one request, item and task the largest value counts, as in :mod:`serving.experiments.joining`: a 0
when the item is shown, a 1 when it is clicked. A log of outcomes that leaves zeros out makes
predictions look too low. With several pods each joins the requests that it answered itself; all
read the same outcomes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hemix.errors import HemixError
from hemix.storage import is_remote, join, list_files, read_bytes
from serving.experiments.left_out import LeftOut
from serving.monitoring.windows import SlidingSums

if TYPE_CHECKING:
    from serving.answer import RankingAnswer


@dataclass(frozen=True, kw_only=True)
class _Remembered:
    answer: RankingAnswer
    counted: dict[tuple[str, str], float] = field(default_factory=dict)


class Calibration:
    """Sums of predictions and outcomes of the last day, a task and variant.

    Args:
        remembered: answers kept at most; the oldest are forgotten first, and their outcomes with them.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        remembered: int = 20_000,
        slots: int = 24,
        slot_s: float = 3600.0,
    ) -> None:
        self._answers: OrderedDict[str, _Remembered] = OrderedDict()
        self._limit = remembered
        self.lost = LeftOut()
        self._sums = SlidingSums(slots=slots, slot_s=slot_s, clock=clock)

    def remember(self, answer: RankingAnswer) -> None:
        """Keep an answer; the first one of a request id counts."""
        self._answers.setdefault(answer.request_id, _Remembered(answer=answer))
        if len(self._answers) > self._limit:
            self._answers.popitem(last=False)

    def outcome(self, request_id: str, item_id: str, task: str, value: float) -> bool:
        """Count an outcome; False when its request is not ours, or it says nothing new.

        One of our request's that is of another item or task is counted in ``lost``.
        """
        found = self._answers.get(request_id)
        if found is None:
            return False
        example = f"request_id {request_id!r}, item_id {item_id!r}, task {task!r}"
        if task not in found.answer.scores:
            self.lost.add("other_tasks", 1, example)
            return False
        before = found.counted.get((item_id, task))
        if before is not None and value <= before:
            return False
        try:
            at = [str(item) for item in found.answer.item_ids].index(item_id)
        except ValueError:
            self.lost.add("foreign_items", 1, example)
            return False
        found.counted[item_id, task] = value
        name = f"{task}\n{found.answer.variant}"
        if before is None:
            self._sums.add(name, [float(found.answer.scores[task][at]), value, 1.0])
        else:
            self._sums.add(name, [0.0, value - before, 0.0])
        return True

    def measured(self) -> dict[tuple[str, str], tuple[float, int]]:
        """``(task, variant) -> (predicted over observed, outcomes)``; NaN without a positive."""
        found = {}
        for name, (predicted, observed, count) in self._sums.totals().items():
            task, variant = name.split("\n")
            ratio = float(predicted / observed) if observed else float("nan")
            found[task, variant] = (ratio, int(count))
        return found


class OutcomeFiles:
    """Reads what is new at ``location``: Parquet or JSON lines, appended to or added.

    Lines are request_id, item_id, task, value, time_ms, as :mod:`serving.experiments.logs` says.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._read: dict[str, int] = {}
        self.lost = LeftOut()

    def news(self) -> Iterator[tuple[str, str, str, float]]:
        """``(request_id, item_id, task, value)`` of new lines; others are counted in ``lost``.

        Raises:
            StorageError, DataError: a file cannot be read; after all others, and it is tried again.
        """
        failed: HemixError | None = None
        for name, size in self._sizes().items():
            if size != self._read.get(name, 0):
                try:
                    yield from self._rows(name)
                except HemixError as error:
                    failed = failed or error
        if failed is not None:
            raise failed

    def _rows(self, name: str) -> list[tuple[str, str, str, float]]:
        from serving.experiments.outcome_files import outcomes_of

        data = read_bytes(join(self._location, name)) or b""
        begin, end = 0, len(data)
        if name.endswith(".jsonl"):
            begin = self._read.get(name, 0)
            end = data.rfind(b"\n") + 1  # the last line may still be being written
        first = data.count(b"\n", 0, begin) + 1
        table, lost = outcomes_of(name, data[begin:end], first=first)
        self.lost.join(lost)
        self._read[name] = end
        return table.select("request_id", "item_id", "task", "value").rows()

    def _sizes(self) -> dict[str, int]:
        """Size of each file; an object of a store never changes, and has the one it was read with."""
        names = [
            name
            for name in list_files(self._location)
            if name.endswith((".jsonl", ".parquet")) and not name.rpartition("/")[2].startswith(".")
        ]
        if is_remote(self._location):
            return {name: self._read.get(name, -1) for name in names}
        return {name: (Path(self._location) / name).stat().st_size for name in names}
