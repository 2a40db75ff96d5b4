"""A rate that a request is served with after live events is the rate of its example, bit for bit."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.features.live.columns import columns_at
from hemix.features.live.events import LiveEvent
from hemix.features.live.state import LiveState
from hemix.features.store.assemble import RequestColumns
from hemix.features.store.overlay import overlaid
from hemix.features.transform.columns import raw_columns
from tests.features.live.streams import Stream
from tests.features.logs import SmallLog, build_in_memory
from tests.features.transform.conftest import Fitted
from tests.features.transform.test_graph import of_table, same_bits
from tests.features.transform.tiny import DAY, DEFINITION, START, TYPES

AS_OF = START + 4 * DAY
RATES = ("author_click_rate_1d", "user_click_rate_1h", "kind_click_per_seen_rate_1d")


def interactions() -> list[dict[str, Any]]:
    """Requests of three candidates each, over three days; some clicked."""
    draw = random.Random(5)
    return [
        {
            "request_id": f"r{n // 3}",
            "user_id": f"u{n // 3 % 4}",
            "item_id": n % 3 + n // 3 % 5,
            "event_time": START + 3 * DAY + n // 3 * 2_400_000,
            "tab": 1,
            "label_click": int(draw.random() < 0.4),
        }
        for n in range(300)
    ]


def streamed() -> Stream:
    """What happened before an instant is published, what came after it is told."""
    rows = interactions()
    acts = [
        {
            **{name: row[name] for name in ("user_id", "item_id", "event_time")},
            "action": "click" if row["label_click"] else "seen",
            "time_exact": True,
            "position": 0,
        }
        for row in rows
    ]
    items = [
        {
            "item_id": n,
            "author": f"é {n % 3}" if n else "",
            "kind": n % 2,
            "price": 1.0,
            "created_at": None,
            "valid_from": 0,
        }
        for n in range(7)
    ]
    log = SmallLog(
        definition=DEFINITION, types=TYPES, behaviors=acts, interactions=rows, users=[], items=items
    )
    held = [n for n, row in enumerate(rows) if row["event_time"] < AS_OF]
    return Stream(
        log=log,
        as_of=AS_OF,
        published=replace(
            log, interactions=[rows[n] for n in held], behaviors=[acts[n] for n in held]
        ),
        events=[
            LiveEvent(
                event_id=str(n),
                user_id=row["user_id"],
                item_id=row["item_id"],
                time_ms=row["event_time"],
                known_ms=row["event_time"],
                request_id=row["request_id"],
                labels={"click": row["label_click"]},
                context={"tab": 1},
            )
            for n, row in enumerate(rows)
            if row["event_time"] >= AS_OF
        ],
    )


def test_served_after_events_as_evaluated(fitted: Fitted, tmp_path: Path) -> None:
    made, graph = streamed(), fitted.graph
    out = build_in_memory(
        DEFINITION, made.log.write(tmp_path / "events"), tmp_path / "out", rows_a_part=1000
    )
    files = sorted(out.glob("day=*/*.parquet"))
    examples = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    state = LiveState(made.base())
    state.add(made.events)
    rates = set()
    for number in (75, 88, 99):
        rows = examples.filter(pc.equal(examples["request_id"], f"r{number}")).combine_chunks()
        time = rows["event_time"].cast(pa.int64())[0].as_py()
        assert time > AS_OF
        user, item_ids = rows["user_id"][0].as_py(), rows["item_id"].to_pylist()
        live = columns_at(state.log, state.known(user, item_ids, time, all_known=False), time)
        raw = RequestColumns(
            user=unknown(raw_columns(rows.slice(0, 1), graph.inputs({"user", "context"}))),
            items=unknown(raw_columns(rows, graph.inputs({"item"}))),
        )
        raw = overlaid(DEFINITION, raw, live, time)
        trained = graph.apply_table(rows)
        of_user, of_items = graph.apply_request(raw.user, raw.items)
        for name, column in of_items.items():
            assert same_bits(column, of_table(trained, name)), (number, name)
        for name, column in of_user.items():
            assert same_bits(column, of_table(trained.slice(0, 1), name)), (number, name)
        found = {**of_user, **of_items}
        rates |= {float(x) for name in RATES for x in np.asarray(found[f"{name}_scaled"])}
    assert len(rates) > 12  # they differ, so equal ones say something


def unknown(columns: dict[str, Any]) -> dict[str, Any]:
    """The same without what counters hold: all of that must come from the live state."""
    counters = set(DEFINITION.counter_columns)
    return {n: np.full_like(c, 999) if n in counters else c for n, c in columns.items()}
