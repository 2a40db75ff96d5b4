"""The monitor: takes what requests leave behind, and works it out on a thread of its own.

A request pays for one append to a queue and, a few times a second, for keeping its transformed
columns. When the thread cannot keep up answers are left out and counted
(``hemix_monitor_dropped_total``).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import Gauge

from hemix.errors import DataError, HemixError
from hemix.serving.messages.answer import (
    FEATURES_UNAVAILABLE,
    UNKNOWN_USER,
    RankingAnswer,
    bytes_of_ids,
)
from hemix.serving.metrics import (
    CALIBRATION_LOST,
    CALIBRATION_OUTCOMES,
    CALIBRATION_PCOC,
    DRIFT_PSI,
    DRIFT_ROWS,
    FEATURE_AGE,
    MONITOR_DROPPED,
    UNKNOWN_SHARE,
)
from hemix.serving.monitoring.calibration import Calibration, OutcomeFiles
from hemix.serving.monitoring.drift import Counts, FeatureBins
from hemix.serving.monitoring.snapshots import Snapshot, SnapshotFiles
from hemix.serving.monitoring.windows import SlidingSums

if TYPE_CHECKING:
    from hemix.features.transform.columns import Column

logger = logging.getLogger("hemix.serving")

FEWEST = 20
MOST_LOST = 0.1
"""Share of new outcomes, of at least :data:`FEWEST`, beyond which the log says what is lost."""
_QUEUE = 10_000
_QUEUE_BYTES = 32 << 20
_REQUESTS = "requests"
_Values = dict[tuple[str, ...], float]


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """How a process watches itself.

    Args:
        snapshots: folder or ``s3://`` prefix of the snapshots; None writes none.
        outcomes: folder or ``s3://`` prefix where outcomes arrive; None measures no calibration.
        samples_per_s: requests whose features are counted, at most.
        slots, slot_s: the window of drift and unknown ids, in slots that fall out one by one.
        every_s: how often what is queued is counted: often, so that each time takes little.
        publish_s: how often the gauges are worked out; outcomes_s: how often outcomes are looked for.
        snapshot_s: how often a snapshot is written.
    """

    snapshots: str | None = None
    outcomes: str | None = None
    samples_per_s: float = 10.0
    slots: int = 12
    slot_s: float = 300.0
    every_s: float = 1.0
    publish_s: float = 10.0
    outcomes_s: float = 30.0
    snapshot_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class _Sample:
    version: str
    bins: FeatureBins
    columns: Mapping[str, Column]


class Monitor:
    """Counts what was served; gauges and snapshots come of it.

    Args:
        newest: view -> epoch seconds of the newest row that was read of it.
    """

    def __init__(
        self,
        config: MonitorConfig,
        *,
        newest: Callable[[], Mapping[str, float]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._newest = newest
        self._clock = clock
        self._queue: deque[tuple[RankingAnswer | _Sample, int]] = deque()
        self._queued_bytes = 0
        self._queue_lock = threading.Lock()
        self._next_sample = 0.0
        self._unknown = SlidingSums(slots=config.slots, slot_s=config.slot_s, clock=clock)
        self._drift: dict[str, tuple[FeatureBins, SlidingSums]] = {}
        self._calibration = Calibration(clock=clock)
        self._outcomes = OutcomeFiles(config.outcomes) if config.outcomes else None
        self._remembers = self._outcomes is not None and self._outcomes.exist(ask=False)
        self._files = SnapshotFiles(config.snapshots) if config.snapshots else None
        self._process = uuid.uuid4().hex[:8]
        self._since = np.zeros(4, dtype=np.int64)
        self._since_samples: dict[str, int] = {}
        self._since_counts: dict[str, dict[str, Counts]] = {}
        self._due = dict.fromkeys(("outcomes", "publish"), clock())
        self._due["snapshot"] = clock() + config.snapshot_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._said: set[str] = set()
        self._shown: dict[Gauge, set[tuple[str, ...]]] = {}

    # ---- on a request's time --------------------------------------------------------------------

    def wants(self) -> bool:
        """Whether this request's features should be kept."""
        now = self._clock()
        if now < self._next_sample:
            return False
        self._next_sample = now + 1.0 / self._config.samples_per_s
        return True

    def sample(self, version: str, bins: FeatureBins, columns: Mapping[str, Column]) -> None:
        """Leave a request's transformed columns to be counted."""
        self._put(_Sample(version=version, bins=bins, columns=columns))

    def answered(self, answer: RankingAnswer) -> None:
        """Leave an answer to be counted, and remembered for its outcomes."""
        self._put(answer)

    def _put(self, entry: RankingAnswer | _Sample) -> None:
        size = _size(entry)
        with self._queue_lock:
            if len(self._queue) < _QUEUE and self._queued_bytes + size <= _QUEUE_BYTES:
                self._queued_bytes += size
                self._queue.append((entry, size))
                return
        MONITOR_DROPPED.inc()

    # ---- on the monitor's own thread ------------------------------------------------------------

    def start(self) -> None:
        """Work from a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Count what is left, write the last snapshot and stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(self._config.every_s):
            self.step()
        self._due["snapshot"] = self._clock()
        self.step()

    def step(self) -> None:
        """Count what is queued, look for outcomes and write a snapshot when they are due."""
        self._guarded("counting", self._count)
        if self._outcomes is not None and self._is_due("outcomes", self._config.outcomes_s):
            self._guarded("outcomes", self._join_outcomes)
        if self._is_due("publish", self._config.publish_s):
            self._guarded("publishing", self._publish)
        if self._files is not None and self._is_due("snapshot", self._config.snapshot_s):
            self._guarded("snapshots", self._snapshot)

    def _is_due(self, what: str, every_s: float) -> bool:
        if self._clock() < self._due[what]:
            return False
        self._due[what] = self._clock() + every_s
        return True

    def _guarded(self, what: str, work: Callable[[], None]) -> None:
        """What fails is said once and tried again; monitoring must never end serving."""
        try:
            work()
        except Exception as error:
            if what not in self._said:
                trace = None if isinstance(error, HemixError) else error
                logger.error("Monitoring, %s: %s", what, error, exc_info=trace)
            self._said.add(what)
        else:
            self._said.discard(what)

    def _count(self) -> None:
        for _ in range(len(self._queue)):
            with self._queue_lock:
                entry, size = self._queue.popleft()
                self._queued_bytes -= size
            if isinstance(entry, _Sample):
                self._count_sample(entry)
            else:
                self._count_answer(entry)

    def _count_answer(self, answer: RankingAnswer) -> None:
        if self._remembers:
            self._calibration.remember(answer)
        if FEATURES_UNAVAILABLE in answer.flags:
            return  # the store was not asked who is known
        counts = np.array(
            [
                1,
                UNKNOWN_USER in answer.flags,
                len(answer.item_ids),
                len(answer.unknown_items),
            ],
            dtype=np.int64,
        )
        self._unknown.add(_REQUESTS, counts)
        self._since += counts

    def _count_sample(self, sample: _Sample) -> None:
        name = sample.version
        if name not in self._drift:
            sums = SlidingSums(
                slots=self._config.slots, slot_s=self._config.slot_s, clock=self._clock
            )
            self._drift[name] = (sample.bins, sums)
        counted = sample.bins.count(sample.columns)
        _, sums = self._drift[name]
        sums.add("", [1])
        since = self._since_counts.setdefault(name, {})
        for feature, counts in counted.items():
            sums.add(feature, counts)
            since[feature] = since[feature] + counts if feature in since else counts
        self._since_samples[name] = self._since_samples.get(name, 0) + 1

    def _join_outcomes(self) -> None:
        assert self._outcomes is not None
        self._remembers = self._remembers or self._outcomes.exist()
        read = 0
        try:
            for row in self._outcomes.news():
                read += 1
                self._calibration.outcome(*row)
        finally:
            lost = self._outcomes.lost.taken()
            read += lost.total
            lost.join(self._calibration.lost.taken())
            for reason, count in lost.counts.items():
                CALIBRATION_LOST.labels(reason).inc(count)
        if read >= FEWEST and lost.total > MOST_LOST * read:
            told = "; ".join(
                f"{count:,} {reason.replace('_', ' ')}, for example {lost.examples[reason]}"
                for reason, count in lost.counts.items()
            )
            raise DataError(
                f"calibration leaves out {lost.total:,} of {read:,} new outcomes: {told}.",
                hint="Outcomes have request_id, item_id and task as in the answer, value and time_ms.",
            )

    def _publish(self) -> None:
        totals = self._unknown.totals().get(_REQUESTS)
        unknown: _Values = {}
        if totals is not None:
            users, unknown_users, items, unknown_items = totals
            unknown = {("user",): unknown_users / users, ("item",): unknown_items / items}
        self._set(UNKNOWN_SHARE, unknown)
        drift: _Values = {}
        rows: _Values = {}
        for version, (bins, sums) in self._drift.items():
            found = sums.totals()
            if "" in found:
                rows[version,] = float(found.pop("")[0])
                drift |= {(version, name): psi for name, psi in bins.psi(found).items()}
        self._set(DRIFT_PSI, drift)
        self._set(DRIFT_ROWS, rows)
        now = time.time()
        self._set(FEATURE_AGE, {(view,): now - at for view, at in self._newest().items()})
        measured = self._calibration.measured()
        self._set(CALIBRATION_PCOC, {of: ratio for of, (ratio, _) in measured.items()})
        self._set(CALIBRATION_OUTCOMES, {of: float(count) for of, (_, count) in measured.items()})

    def _set(self, gauge: Gauge, values: _Values) -> None:
        """Publish a gauge's values; what is not measured any more is not shown any more."""
        for labels in self._shown.get(gauge, set()) - values.keys():
            gauge.remove(*labels)
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        self._shown[gauge] = set(values)

    def _snapshot(self) -> None:
        assert self._files is not None
        users, unknown_users, items, unknown_items = (int(n) for n in self._since)
        self._files.write(
            Snapshot(
                time_ms=round(time.time() * 1000),
                process=self._process,
                users=users,
                unknown_users=unknown_users,
                items=items,
                unknown_items=unknown_items,
                samples=dict(self._since_samples),
                features={
                    version: {name: counts.tolist() for name, counts in found.items()}
                    for version, found in self._since_counts.items()
                },
                newest={view: round(at * 1000) for view, at in self._newest().items()},
            )
        )
        self._since[:] = 0
        self._since_samples.clear()
        self._since_counts.clear()


def _size(entry: RankingAnswer | _Sample) -> int:
    if isinstance(entry, RankingAnswer):
        return 500 + bytes_of_ids(entry.item_ids)
    values = (c[0] if isinstance(c, tuple) else c for c in entry.columns.values())
    return 500 + sum(value.nbytes for value in values)
