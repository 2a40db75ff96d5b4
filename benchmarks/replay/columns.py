"""Replay: events pushed as they become known, requests asked at their own times, columns compared."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.replay.stage import Stage
from hemix.features.live.stores.opening import open_events
from hemix.features.store.parity.bitwise import NOT_SERVED
from hemix.features.store.parity.compare import differing_rows, from_arrow, value_at
from hemix.models.metrics.pointwise import auc
from hemix.progress import progress, say
from hemix.serving.events.contract import EventContract
from hemix.serving.events.dead_letters import DeadLetters
from hemix.serving.events.desk import MAX_EVENTS, EventDesk
from hemix.serving.launch.process import limit_threads
from hemix.serving.messages.request import RankingRequest
from hemix.serving.ranking.loaded_version import LoadedVersion, load_version


@dataclass
class Replay:
    """What a replay found."""

    requests: int = 0
    equal: int = 0
    events: int = 0
    push_s: float = 0.0
    columns: int = 0
    differences: dict[str, str] = field(default_factory=dict)
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)


def replay(stage: Stage, store: str, requests: int) -> Replay:
    """Push every held-out event when it becomes known, ask every request at its time, compare.

    What is compared is what the endpoint's own code assembles before it encodes: every column of the
    example but its labels, bit for bit. ``store`` is the address of the store of live events.
    """
    limit_threads(1)  # as the endpoint does
    now = [0]
    desk = EventDesk(
        open_events(store),
        DeadLetters(stage.folder / "dead_letters"),
        lambda: stage.folder / "feature_store",
        clock=lambda: now[0] / 1000,
    )
    version = load_version(
        stage.folder / "registry" / "versions" / stage.version,
        store=str(stage.folder / "feature_store"),
        timeout_s=30.0,
        item_cache_s=3600.0,
        events=desk,
    )
    contract = EventContract.of(stage.definition, stage.types)
    found, told, sent = Replay(), stage.told(), 0
    for example in progress(list(stage.asked(requests)), "replay: requests"):
        row = example.to_pylist()[0]
        asked_ms = int(example["event_time"].cast(pa.int64())[0].as_py())
        begun = time.perf_counter()
        while sent < len(told) and told[sent]["known_at"] <= asked_ms:
            batch = [e for e in told[sent : sent + MAX_EVENTS] if e["known_at"] <= asked_ms]
            now[0] = asked_ms
            results = desk.take(contract, batch, "replay").results
            assert {result.status for result in results} == {"accepted"}, results
            sent += len(batch)
        found.push_s += time.perf_counter() - begun
        _ask(version, stage, row, asked_ms, example, found)
    found.events = sent
    desk.close()
    return found


def _ask(
    version: LoadedVersion,
    stage: Stage,
    row: dict[str, Any],
    asked_ms: int,
    example: pa.Table,
    found: Replay,
) -> None:
    definition = stage.definition
    own = {n: [row[n]] for n in definition.candidate_columns if row[n] is not None}
    context = {n: row[n] for n in definition.context_columns if n not in own and row[n] is not None}
    request = RankingRequest(
        request_id="",
        user_id=row["user_id"],
        item_ids=[row["item_id"]],
        context=context,
        candidates=own,
        timestamp_ms=asked_ms,
    )
    raw = version.assemble(*version.read(request), request, asked_ms)
    raw, flags = version.with_live(raw, request, asked_ms)
    assert not flags, flags
    served = {**raw.user, **raw.items}
    same = True
    for name in example.column_names:
        if name in NOT_SERVED or name.startswith("label_"):
            continue
        truth = from_arrow(example[name])
        if len(differing_rows(served[name], truth)):
            same = False
            key = f"user {row['user_id']!r}, item {row['item_id']!r} at {asked_ms}"
            text = f"{key}: served {value_at(served[name], 0)!r}, example {value_at(truth, 0)!r}"
            found.differences.setdefault(name, text)
    found.requests += 1
    found.equal += same
    found.columns = len(served)
    found.keys.append((row["request_id"], row["user_id"], row["item_id"], asked_ms))
    for task, scores in version.score(version.encode(raw)).items():
        found.scores.setdefault(task, []).append(float(scores[0]))


def areas(stage: Stage, found: Replay) -> dict[str, dict[str, float]]:
    """AUC of each task over the requests: as served, and as the run's evaluation scored the same rows."""
    table = pq.read_table(stage.predictions)
    times = table["event_time"].cast(pa.int64()).to_pylist()
    names = ("request_id", "user_id", "item_id")
    keys = zip(*(table[name].to_pylist() for name in names), times, strict=True)
    place = {key: number for number, key in enumerate(keys)}
    rows = np.array([place[key] for key in found.keys])
    result: dict[str, dict[str, float]] = {}
    for task, scores in found.scores.items():
        labels = table[f"label_{task}"].to_numpy()[rows]
        offline = table[f"p_candidate_{task}"].to_numpy()[rows]
        served = np.array(scores, np.float32)
        result[task] = {
            "served_auc": round(float(auc(labels, served)), 6),
            "evaluated_auc": round(float(auc(labels, offline)), 6),
            "largest_score_difference": float(np.abs(served - offline).max()),
        }
        say(f"replay: {task} {result[task]}")
    return result


def address(store: str, folder: Path) -> str:
    """``sqlite`` is a file in the folder; else the address itself."""
    return str(folder / "events.db") if store == "sqlite" else store
