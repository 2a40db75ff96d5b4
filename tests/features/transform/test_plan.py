from __future__ import annotations

import numpy as np
import pyarrow as pa

from hemix.features.definition import DatasetDefinition
from hemix.features.transform.analyzer import Counts, vocabulary_lines
from hemix.features.transform_plan import make_plan
from tests.features.transform.tiny import DEFINITION, PRIORS, TYPES

PLAN = make_plan(DEFINITION, TYPES, PRIORS)


def test_transformed_columns_never_take_a_raw_name() -> None:
    spec = PLAN.spec({v.name: 3 for v in PLAN.vocabularies})
    names = [c.name for c in spec.categorical]
    names += [n for number in spec.numeric for n in (number.name, number.bucket)]
    names += [c.column for s in spec.sequences for c in s.columns]
    assert len(set(names)) == len(names)
    assert not set(names) & {c.name for c in PLAN.raw}
    assert not set(names) & set(spec.keys)


def test_sides() -> None:
    spec = PLAN.spec({v.name: 3 for v in PLAN.vocabularies})
    sides = {c.name: c.side for c in spec.categorical} | {n.name: n.side for n in spec.numeric}
    assert sides["city_index"] == sides["user_click_rate_1h_scaled"] == "user"
    assert sides["author_index"] == sides["author_click_1d_scaled"] == "item"
    assert sides["item_age_days_scaled"] == "item"
    assert sides["tab_index"] == sides["hour_index"] == "context"
    assert all(c.side == "user" for c in PLAN.raw if c.ragged)


def test_a_named_vocabulary_is_shared() -> None:
    value = DEFINITION.model_dump(mode="json")
    for field in value["categorical"]:
        if field["name"] == "city":
            field["vocabulary"] = "author"
    plan = make_plan(DatasetDefinition.parse(value), TYPES, PRIORS)
    shared = next(v for v in plan.vocabularies if v.name == "author")
    assert {"author", "city", "global_author", "realtime_author"} == set(shared.inputs)
    assert not [v for v in plan.vocabularies if v.name == "city"]


def test_a_counter_without_impressions_has_no_rate() -> None:
    value = DEFINITION.model_dump(mode="json")
    value["counters"] = [{"key": "user_id", "events": ["click"], "windows": ["1d"]}]
    del value["rates"]
    plan = make_plan(DatasetDefinition.parse(value), TYPES, PRIORS)
    assert not [n for n in plan.numbers if n.levels]


def test_a_declared_rate_stands_in_the_place_of_the_counters_own() -> None:
    found = {n.name: n for n in PLAN.numbers if n.levels}
    user = ("user_click_1d", "user_impression_1d")
    assert found["author_click_rate_1d"].levels == (
        ("author_click_1d", "author_impression_1d"),
        user,
    )
    assert found["user_click_rate_1d"].levels == (user,)
    of_actions = found["kind_click_per_seen_rate_1d"]
    assert of_actions.levels == (("kind_click_1d", "kind_action_seen_1d"),)
    assert (of_actions.smoothing, of_actions.prior) == (2.5, 0.5)
    spec = PLAN.spec({v.name: 3 for v in PLAN.vocabularies})
    assert [n.name for n in spec.numeric if n.personal] == ["author_click_rate_1d_scaled"]
    # What the item side reads of the user's is lent to it, once a candidate.
    assert [c.name for c in PLAN.lent({"item"})] == [*reversed(user)]
    assert PLAN.lent({"user"}) == PLAN.lent({"item", "user"}) == ()


def test_vocabulary_files() -> None:
    text: Counts = (
        np.array([b"a", b"b", b"c", b"d\ne", b"z"], object),
        np.array([2, 5, 2, 9, 1]),
    )
    assert vocabulary_lines(text, 2) == [b"\xff", b"b", b"a", b"c"]
    numbers: Counts = (np.array([-5, 3, 20]), np.array([1, 7, 7]))
    assert vocabulary_lines(numbers, 1) == [b"-9223372036854775808", b"3", b"20", b"-5"]


def test_types_survive_json() -> None:
    assert TYPES.from_json(TYPES.to_json()).users["age"] == pa.float64()
