"""What a definition may say of counters and matches, and what is refused with what to write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from tests.features.definitions import plain


@pytest.mark.parametrize(
    ("counter", "said"),
    [
        ({"key": ["item_id", "user_id"]}, r"counters\[0\].key: a pair begins with user_id"),
        ({"key": ["user_id", "gnre"]}, "must be item_id, an item column or a field .*'genre'"),
        ({"key": ["user_id", "plan"]}, "'plan' must be item_id, an item column or a field"),
        ({"key": ["user_id"]}, r"counters\[0\].key"),
        (
            {"key": "user_id", "actions": ["herd"]},
            "there is no action 'herd'; did you mean 'heard'",
        ),
        (
            {"key": ["user_id", "source"], "actions": ["heard"]},
            "behaviours have no column 'source'",
        ),
        ({"key": "item_id", "events": ["skip"]}, "counted with `actions`"),
        ({"key": "item_id", "actions": ["skip", "skip"]}, "'skip' is given twice"),
        ({"key": ["user_id", "item_id"], "last": 0}, r"counters\[0\].last"),
        ({"key": "item_id", "since": True}, "did you mean since_last"),
    ],
)
def test_counters(counter: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        DatasetDefinition.parse(plain(counters=[counter]))


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ({"column": "length"}, "'length' must be item_id or one of sequences.columns"),
        ({"column": "item_id", "sequences": ["session"]}, r"matches\[0\].sequences"),
        ({"column": "item_id", "last": [2, 2]}, "2 is given twice"),
        ({"column": "item_id", "last": [0]}, r"matches\[0\].last"),
    ],
)
def test_matches(match: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        DatasetDefinition.parse(plain(matches=[match]))


def test_columns_of_one_name_are_refused() -> None:
    counters = [{"key": ["user_id", "genre"], "windows": ["1h"]}] * 2
    with pytest.raises(DefinitionError, match="two in the examples would be called 'user_genre_"):
        DatasetDefinition.parse(plain(counters=counters))


def test_names_and_sides() -> None:
    made = DatasetDefinition.parse(
        plain(
            counters=[
                {"key": ["user_id", "genre"], "actions": ["skip"], "windows": ["6h"], "since_last": True},
                {"key": ["user_id", "source"], "events": ["heard"], "windows": ["ever"]},
            ],
            matches=[{"column": "genre", "sequences": ["global"], "last": [3]}],
        )
    )  # fmt: skip
    assert made.counter_columns == (
        "user_genre_action_skip_6h",
        "user_genre_action_skip_since",
        "user_source_heard_ever",
    )
    assert made.match_columns == (
        "global_same_genre",
        "global_same_genre_last_3",
        "global_same_genre_since",
    )
    sides = {name: made.side_of(name) for name in (*made.counter_columns, *made.match_columns)}
    assert sides.pop("user_source_heard_ever") == "context"
    assert set(sides.values()) == {"item"}


def test_what_is_not_said_leaves_digests_as_they_were() -> None:
    value = json.loads(DatasetDefinition.parse(plain()).to_json())
    assert "matches" not in value
    assert value["counters"][0].keys() == {"key", "events", "windows"}
    source = value["interactions"][0]
    assert not source.keys() & {"where", "lists", "time_format", "time_of_day"}
    assert not source["labels"]["heard"].keys() & {"equals", "equals_item"}
