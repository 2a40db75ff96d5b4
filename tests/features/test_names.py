"""Names that people choose against names that are made: refused by name, or all of them differ."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.errors import DefinitionError
from hemix.features import names
from hemix.features.definition import DatasetDefinition
from tests.features.definitions import plain, renamed

FIELDS = ("source", "volume", "plan", "age", "genre", "length", "heard", "kept")
MADE = sorted(
    {n for table in names.tables(DatasetDefinition.parse(plain())).values() for n in table}
)
ODD = [
    *("action", "gap", "gap_s", "hour", "weekday", "listed", "as_of", "valid_from", "created_at"),
    *("request_id", "event_time", "user_activity", "item_age", "in_a_split", "impression", "user"),
    *("context", "item_ids", "score_heard", "history_action", "__proto__", "", "a b", "a.b", "a/b"),
    *("1st", "Ünï", "A", "a" * 300, "name\n", "{{$}}", "-x", "user_impression_1h_scaled"),
]


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(old=st.sampled_from(FIELDS), new=st.sampled_from([*MADE, *ODD, *FIELDS]))
def test_a_name_is_refused_or_every_made_name_is_its_own(old: str, new: str) -> None:
    try:
        definition = DatasetDefinition.parse(renamed(old, new))
    except DefinitionError as error:
        told = error.message
    else:
        _all_differ(definition)
        return
    assert repr(new[:40])[1:-1] in told


def _all_differ(definition: DatasetDefinition) -> None:
    for table, made in names.tables(definition).items():
        assert Counter(made).most_common(1)[0][1] == 1, table


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("source", "weekday"),
        ("volume", "item_age_days"),
        ("age", "genre_kept_6h"),
        ("plan", "label_kept"),
        ("length", "user_heard_rate_1d"),
        ("genre", "action"),
        ("source", "global_gap_s"),
        ("plan", "as_of"),
        ("age", "history_genre"),
        ("length", "created_at"),
        ("source", "user_activity"),
        ("source", "item_in_items"),
        ("source", "gap"),
        ("kept", "impression"),
        ("kept", "heard_rate"),
        ("plan", "valid_from"),
        ("source", "request_id"),
    ],
)
def test_names_of_ours_are_refused(old: str, new: str) -> None:
    with pytest.raises(DefinitionError, match=new) as error:
        DatasetDefinition.parse(renamed(old, new))
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("source", "score"),
        ("plan", "history_length"),
        ("plan", "time_exact"),
        ("plan", "listed"),
        ("length", "history_made"),
        ("source", "flags"),
        ("kept", "source_kept"),
    ],
)
def test_names_that_meet_no_other_are_free(old: str, new: str) -> None:
    DatasetDefinition.parse(renamed(old, new))


def test_a_time_field_that_is_left_out_frees_its_name() -> None:
    value = renamed("source", "hour") | {"time_fields": ["weekday"]}
    assert "hour" in DatasetDefinition.parse(value).context_columns


def test_columns_of_the_log_are_free() -> None:
    odd = {"source": "{{$}}", "volume": "Größe in %\n"}
    columns = plain()["interactions"][0]["columns"] | odd
    made = DatasetDefinition.parse(plain(interactions__0__columns=columns))
    again = DatasetDefinition.parse(made.to_json())
    assert again.interactions[0].columns == columns
