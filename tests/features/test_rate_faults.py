"""What a definition may not say of rates: one clear fault each, that names the mend."""

from __future__ import annotations

from typing import Any

import pytest

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from tests.features.live.streams import derives
from tests.features.logs import definition

GOOD: dict[str, Any] = {"key": "item_id", "event": "like", "windows": ["ever"]}


def parse(*rates: dict[str, Any]) -> DatasetDefinition:
    value = derives(definition(counting=True)).model_dump(mode="json")
    return DatasetDefinition.parse({**value, "rates": rates})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"smooth": 3}, "smooth"),
        ({"smoothing": 0}, "greater than 0"),
        ({"smoothing": float("inf")}, "finite"),
        ({"event": "likes"}, "'likes' is neither a task nor an action"),
        ({"event": "impression"}, "name a task or an action"),
        ({"per": "like"}, "'like' per 'like' is always 1"),
        (
            {"key": "author"},
            "no counter of author counts both like and impression; add {key: author",
        ),
        (
            {"parents": ["city"]},
            "no counter of city counts both like and impression; add {key: city",
        ),
        ({"parents": ["item_id"]}, "item_id is the key or a parent already"),
        ({"windows": ["7d"]}, "no counter of item_id counts like and impression in '7d'; add it"),
        (
            {"parents": ["author_id"]},
            "no counter of author_id counts like and impression in 'ever'",
        ),
        ({"windows": ["ever", "ever"]}, "'ever' is given twice"),
        ({"key": ["item_id", "tag"]}, "no counter of [item_id, tag] counts both"),
    ],
)
def test_each_mistake_is_told_with_its_mend(change: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError) as error:
        parse({**GOOD, **change})
    assert told in str(error.value)
    assert "rates" in str(error.value)


def test_two_rates_of_one_name_are_refused() -> None:
    with pytest.raises(
        DefinitionError, match=r"rates.*item_like_rate_ever_scaled|leave one of the"
    ):
        parse(GOOD, {**GOOD, "parents": ["user_id"]})


def test_what_it_makes_is_named_as_the_counters_own_rates() -> None:
    made = parse(
        GOOD,
        {
            "key": ["user_id", "item_id"],
            "event": "like",
            "parents": ["user_id"],
            "windows": ["ever"],
        },
    )
    first, second = made.rates
    assert first.column("ever") == "item_like_rate_ever"
    assert second.levels(made.counters, made.tasks, "ever") == (
        ("user_item_like_ever", "user_item_impression_ever"),
        ("user_like_ever", "user_impression_ever"),
    )
    assert parse().to_json() == derives(definition(counting=True)).to_json()  # digests stay
