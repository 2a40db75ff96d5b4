"""Which columns tell the state of the user, by what the definition says they are made of.

- **The user's own**: everything of the user's side, which is attributes of the user, counters whose
  key is the user, the time since the user's last events, both sequences. All rows of a moment share
  them, so they are copied from the moment's row.
- **The user's with the candidate**: counters of a pair, matches with a sequence, statistics within
  the request of such a counter, and rates that are made of the user's counters and others. Each row
  has its own, and it is worked out again as of the moment
  (:mod:`hemix.features.shared_state.personal`).

All else (items and their counters, context, candidates' own columns, time fields) is the row's.
"""

from __future__ import annotations

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import SEQUENCES, sequence_column
from hemix.features.transform_plan import NumberPlan, TransformPlan, rate_levels
from hemix.spec import FeatureSpec


def own_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """Transformed columns of the user's own state."""
    return (
        *(field.name for field in spec.categorical if field.side == "user"),
        *(name for n in spec.numeric if n.side == "user" for name in (n.name, n.bucket)),
        *(column.column for sequence in spec.sequences for column in sequence.columns),
    )


def pair_columns(definition: DatasetDefinition) -> tuple[str, ...]:
    """Raw columns of counters of a pair."""
    pairs = (counter for counter in definition.counters if counter.is_pair)
    return tuple(name for counter in pairs for name in counter.columns(definition.tasks))


def personal_columns(definition: DatasetDefinition) -> tuple[str, ...]:
    """Raw columns of the user with the candidate: pairs, matches, statistics of pairs."""
    pairs = pair_columns(definition)
    made = (one for one in definition.within_request if one.of in pairs)
    return (*pairs, *definition.match_columns, *(name for one in made for name in one.columns))


def is_personal(definition: DatasetDefinition) -> bool:
    """True when a number is made of user and candidate both."""
    return bool(personal_columns(definition)) or any(columns_of_rates(definition))


def columns_of_rates(definition: DatasetDefinition) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Counters that rates of user and candidate are made of, beside those of pairs: the user's own,
    which are the moment's, and those of items, which are the row's."""
    pairs = set(pair_columns(definition))
    own: list[str] = []
    others: list[str] = []
    for rate in definition.rates:
        for _, levels in rate_levels(definition, rate):
            columns = [name for level in levels for name in level]
            users = [name for name in columns if definition.side_of(name) == "user"]
            items = [name for name in columns if name not in users and name not in pairs]
            if pairs.intersection(columns) or (users and items):
                own += users
                others += items
    return tuple(dict.fromkeys(own)), tuple(dict.fromkeys(others))


def personal_numbers(plan: TransformPlan, definition: DatasetDefinition) -> tuple[NumberPlan, ...]:
    """The transformed numbers that are made of user and candidate both."""
    personal = {*personal_columns(definition), *columns_of_rates(definition)[0]}
    return tuple(
        number
        for number in plan.numbers
        if number.side != "user" and personal.intersection(number.inputs)
    )


def columns_of_rows(definition: DatasetDefinition) -> tuple[str, ...]:
    """Raw columns of every row that its own numbers are worked out of, beside the keys."""
    keys = [c.keys[1] for c in definition.counters if c.is_pair]
    matched = [match.column for match in definition.matches]
    return tuple(dict.fromkeys([*keys, *matched, *columns_of_rates(definition)[1]]))


def columns_of_moments(definition: DatasetDefinition) -> tuple[str, ...]:
    """Raw columns of each moment's row that matches and rates are worked out of."""
    names = [
        sequence_column(sequence, name)
        for match in definition.matches
        for sequence in SEQUENCES
        if sequence in match.sequences
        for name in (match.column, "gap_s")
    ]
    return tuple(dict.fromkeys([*names, *columns_of_rates(definition)[0]]))
