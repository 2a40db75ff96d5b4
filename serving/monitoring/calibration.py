"""Predicted over observed, once outcomes arrive: answers are remembered, outcomes join by request.

Of one request, item and task the largest value counts, as in :mod:`hemix.serving.experiments.joining`: a 0
when the item is shown, a 1 when it is clicked. A log of outcomes that leaves zeros out makes
predictions look too low. With several pods each joins the requests that it answered itself; all
read the same outcomes.

An answer is kept as arrays (16 bytes per candidate of two tasks), and the arrays of all answers take
a bounded number of bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hemix.errors import HemixError
from hemix.serving.experiments.statistics.left_out import LeftOut
from hemix.serving.monitoring.windows import SlidingSums
from hemix.storage import is_remote, join, list_files, read_bytes

if TYPE_CHECKING:
    from hemix.serving.messages.answer import RankingAnswer


_ENTRY = 1_000
"""Bytes of an answer beside its arrays."""


class _Remembered:
    """``items`` int64 [N]: ids, or the hashes of text ids; ``scores`` float32 [tasks, N]."""

    __slots__ = ("items", "scores", "seen", "tasks", "variant")

    def __init__(self, answer: RankingAnswer) -> None:
        self.variant = answer.variant
        self.tasks = tuple(answer.scores)
        self.items = np.fromiter(map(_key, answer.item_ids), np.int64, len(answer.item_ids))
        self.scores = np.stack([answer.scores[task] for task in self.tasks])
        self.seen: npt.NDArray[np.float64] | None = None
        """The largest outcome of each task and item [tasks, N], NaN for none."""

    @property
    def bytes(self) -> int:
        seen = 0 if self.seen is None else self.seen.nbytes
        return _ENTRY + self.items.nbytes + self.scores.nbytes + seen


def _key(item: int | str) -> int:
    return item if isinstance(item, int) else hash(item)


class Calibration:
    """Sums of predictions and outcomes of the last day, a task and variant.

    Args:
        limit: bytes of the answers that are kept; the oldest are forgotten first, and their
            outcomes with them.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        limit: int = 64 << 20,
        slots: int = 24,
        slot_s: float = 3600.0,
    ) -> None:
        self._answers: OrderedDict[str, _Remembered] = OrderedDict()
        self._limit = limit
        self.bytes = 0
        self.lost = LeftOut()
        self._sums = SlidingSums(slots=slots, slot_s=slot_s, clock=clock)

    def remember(self, answer: RankingAnswer) -> None:
        """Keep an answer; the first one of a request id counts."""
        if answer.request_id in self._answers:
            return
        kept = self._answers[answer.request_id] = _Remembered(answer)
        self._grow(kept.bytes)

    def outcome(self, request_id: str, item_id: str, task: str, value: float) -> bool:
        """Count an outcome; False when its request is not ours, or it says nothing new.

        One of our request's that is of another item or task is counted in ``lost``.
        """
        found = self._answers.get(request_id)
        if found is None:
            return False
        example = f"request_id {request_id!r}, item_id {item_id!r}, task {task!r}"
        if task not in found.tasks:
            self.lost.add("other_tasks", 1, example)
            return False
        at = np.flatnonzero(np.isin(found.items, _keys_of(item_id)))
        if not at.size:
            self.lost.add("foreign_items", 1, example)
            return False
        if found.seen is None:
            before = found.bytes
            found.seen = np.full(found.scores.shape, np.nan)
            self._grow(found.bytes - before)
        row, column = found.tasks.index(task), int(at[0])
        before_value = float(found.seen[row, column])
        if value <= before_value:  # never of NaN
            return False
        found.seen[row, column] = value
        name = f"{task}\n{found.variant}"
        if np.isnan(before_value):
            self._sums.add(name, [float(found.scores[row, column]), value, 1.0])
        else:
            self._sums.add(name, [0.0, value - before_value, 0.0])
        return True

    def _grow(self, more: int) -> None:
        self.bytes += more
        while self.bytes > self._limit:
            _, oldest = self._answers.popitem(last=False)
            self.bytes -= oldest.bytes

    def measured(self) -> dict[tuple[str, str], tuple[float, int]]:
        """``(task, variant) -> (predicted over observed, outcomes)``; NaN without a positive."""
        found = {}
        for name, (predicted, observed, count) in self._sums.totals().items():
            task, variant = name.split("\n")
            ratio = float(predicted / observed) if observed else float("nan")
            found[task, variant] = (ratio, int(count))
        return found


def _keys_of(item_id: str) -> list[int]:
    """What an item of this name may be kept as: of a number itself, of any text its hash."""
    keys = [hash(item_id)]
    if len(item_id) <= 20 and item_id.removeprefix("-").isdecimal():
        number = int(item_id)
        if str(number) == item_id and -(2**63) <= number < 2**63:
            keys.append(number)
    return keys


class OutcomeFiles:
    """Reads what is new at ``location``: Parquet or JSON lines, appended to or added.

    Lines are request_id, item_id, task, value, time_ms, as :mod:`hemix.serving.experiments.logs` says.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._read: dict[str, int] = {}
        self.lost = LeftOut()

    def exist(self, *, ask: bool = True) -> bool:
        """Whether outcomes are delivered at all: there is such a folder, or an object in the store.

        ``ask``: whether an object store is asked; False when it is not.
        """
        if is_remote(self._location):
            return ask and bool(list_files(self._location))
        return Path(self._location).is_dir()

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
        from hemix.serving.experiments.outcome_files import outcomes_of

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
