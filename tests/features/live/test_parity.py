"""Live columns equal the examples: of the log once it is whole, and of what was known then."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemix.features.live.state import LiveState
from tests.features.live.streams import Stream, expected, served, streams
from tests.features.logs import DAY, MIDNIGHT, build_in_memory, read_examples

CHEAP = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def rows_of(stream: Stream) -> list[dict[str, object]]:
    return [row for row in stream.log.interactions if row["event_time"] >= stream.as_of]


@pytest.mark.slow
@CHEAP
@given(stream=streams(late=False), parts=st.integers(1, 3))
def test_equals_the_examples_of_the_whole_log(stream: Stream, parts: int) -> None:
    state = LiveState(stream.base())
    for part in range(parts):
        state.add(stream.events[part::parts])
    with tempfile.TemporaryDirectory() as folder:
        events = stream.log.write(Path(folder) / "events")
        examples = read_examples(
            build_in_memory(stream.log.definition, events, Path(folder) / "out"), stream.log
        )
    examples = [row for row in examples if int(str(row["event_time"])) >= stream.as_of]
    for row in examples:
        found = served(state, row)
        assert found == {name: row[name] for name in found}
        assert served(state, row, all_known=True) == found
    assert state.too_old == 0


@pytest.mark.slow
@CHEAP
@given(
    stream=streams(late=True),
    user=st.integers(0, 3),
    offsets=st.lists(
        st.sampled_from([-DAY, -1, 0, 1, 2, 1001, 3_600_001, DAY, 3 * DAY]), min_size=2
    ),
)
def test_equals_what_was_known_then(stream: Stream, user: int, offsets: list[int]) -> None:
    state = LiveState(stream.base())
    state.add(stream.events)
    rows = stream.log.interactions
    for number, offset in enumerate(offsets):
        time = MIDNIGHT + offset
        if time < stream.as_of:
            continue
        row = {**rows[(user + number) % len(rows)], "event_time": time}
        found = served(state, row)
        assert found == expected(stream.oracle(time), row, list(found))
