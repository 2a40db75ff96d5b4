"""Names that a definition's columns get on their way, and whether two of them are the same.

They are taken from the code that makes them (schemas, transform plan, feature views), given
columns of any type; there is no second list of reserved names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from hemix.features import schema
from hemix.features.feature_views import TIMESTAMP, view_specs
from hemix.features.schema import ColumnTypes, label_column
from hemix.features.transform_plan import make_plan, overall_columns
from hemix.texts.plain_yaml import Fault, Place

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition


def tables(definition: DatasetDefinition, *, whole: bool = True) -> dict[str, list[str]]:
    """``what holds them -> names``, one name for each column or thing that is made.

    ``whole``: also those of the transform plan, for which all fields must be resolved.
    """
    types = _types(definition)
    found = {
        "the examples": schema.examples_schema(definition, types).names,
        "the interactions": [
            *schema.interactions_schema(definition, types).names,
            *schema.FACTS,
        ],
        "the users": schema.users_schema(definition, types).names,
        "the items": schema.items_schema(definition, types).names,
        "the state of users": schema.user_state_schema(definition, types).names,
        "the state of items": schema.item_state_schema(definition, types).names,
        "the slices of the evaluation": [*schema.DERIVED_SLICES, *definition.slices],
    }
    for entity in ("user", "item"):
        views = [view for view in view_specs(definition, types) if view.entity == entity]
        columns = [name for view in views for name in view.columns]
        found[f"the feature views of {entity}s"] = [f"{entity}_id", TIMESTAMP, *columns]
    if whole:
        found |= _planned(definition, types)
    return found


def _planned(definition: DatasetDefinition, types: ColumnTypes) -> dict[str, list[str]]:
    priors = (*definition.tasks, *overall_columns(definition))
    plan = make_plan(definition, types, dict.fromkeys(priors, 0.5))
    spec = plan.spec(dict.fromkeys((v.name for v in plan.vocabularies), 1))
    made = [
        *(column.name for column in spec.categorical),
        *(name for number in spec.numeric for name in (number.name, number.bucket)),
        *dict.fromkeys(c.column for sequence in spec.sequences for c in sequence.columns),
    ]
    raw = [column.name for column in plan.raw]
    keys = [name for name in spec.keys if name not in raw]
    labels = [label_column(task) for task in definition.tasks]
    found = {
        "the transformed data": [*raw, *keys, *labels, *made],
        "the vocabularies": [vocabulary.name for vocabulary in spec.vocabularies],
    }
    for sequence in spec.sequences:
        found[f"the {sequence.name} sequence"] = [column.role for column in sequence.columns]
    return found


def _types(definition: DatasetDefinition) -> ColumnTypes:
    """Any types: names do not depend on them."""
    text = pa.string()
    anything: dict[str, pa.DataType] = defaultdict(lambda: text)
    return ColumnTypes(user_id=text, item_id=text, users=anything, items=anything, context=anything)


def clashes(definition: DatasetDefinition, *, whole: bool) -> Iterator[Fault]:
    """One fault for each name that two columns of one table would have."""
    told: set[str] = set()
    places: set[Place] = set()
    for table, names in tables(definition, whole=whole).items():
        for name in (name for name, count in Counter(names).items() if count > 1):
            place = _place(definition, name)
            if name not in told and place not in places:
                yield Fault(place=place, message=_message(definition, table, name))
            told.add(name)
            places.add(place)


def _message(definition: DatasetDefinition, table: str, name: str) -> str:
    mend = "give one of them another name (the left-hand one in `columns`)"
    if name in definition.time_fields:
        mend += f", or leave {name} out of time_fields"
    if name in definition.counter_columns:
        mend += ", or count something else in counters"
    if any(name.startswith(f"{rate.stem}_") for rate in definition.rates):
        mend += ", or leave one of the rates out"
    if name in definition.match_columns:
        mend += ", or match something else in matches"
    if name in definition.within_request_columns:
        mend += ", or leave the statistic out of within_request"
    return f"two in {table} would be called {name!r}, one of them made by hemix; {mend}"


def _place(definition: DatasetDefinition, name: str) -> Place:
    """Where a name, or the longest one that it was made of, was chosen."""
    chosen: dict[str, Place] = {}
    for index, counter in enumerate(definition.counters):
        chosen[counter.prefix] = ("counters", index)
    for index, rate in enumerate(definition.rates):
        chosen[rate.stem] = ("rates", index)
    for index, match in enumerate(definition.matches):
        chosen |= dict.fromkeys(match.columns, ("matches", index))
    for index, task in enumerate(definition.tasks):
        chosen[task] = ("tasks", index)
    for index, made in enumerate(definition.within_request):
        chosen |= dict.fromkeys(made.columns, ("within_request", index))
    for index, column in enumerate(definition.sequences.columns):
        chosen[column] = ("sequences", "columns", index)
    for index, sliced in enumerate(definition.slices):
        chosen.setdefault(sliced, ("slices", index))
    for kind in ("numeric", "categorical"):
        for index, field in enumerate(getattr(definition, kind)):
            chosen[field.name] = (kind, index, "name")
    if name in chosen:
        return chosen[name]
    parts = [part for part in chosen if part in name]
    return chosen[max(parts, key=len)] if parts else ()
