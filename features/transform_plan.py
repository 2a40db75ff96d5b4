"""Which raw column becomes which ids and numbers: derived from a definition, read by all else.

Names of transformed columns never equal those of raw columns: ``user_id`` stays the key, its ids
are ``user_id_index``; a number ``n`` becomes ``n_scaled`` and ``n_bucket``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from hemix.features.derived.of_time import TIME_FIELDS
from hemix.features.schema import SEQUENCES, ColumnTypes, label_column, sequence_column
from hemix.features.within_request import LOGARITHMIC
from hemix.spec import (
    CategoricalFeature,
    FeatureSpec,
    NumericFeature,
    SequenceColumn,
    SequenceFeature,
    Side,
    TaskSpec,
    Vocabulary,
)

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition
    from hemix.features.fields import Categorical
    from hemix.features.parts import Counter
    from hemix.features.rates.rate import Rate

Kind = Literal["int", "string", "float"]
SIDES: tuple[Side, ...] = ("user", "item", "context")
"""In the order in which numbers stand in the graph."""
ACTION = "action"
GAP = "gap"
GAP_BOUNDARIES = tuple(2**k for k in range(24))
"""Seconds; gap id ``1 + number of boundaries <= gap``: 1 is under a second, 25 over 97 days."""
COUNTER_BUCKETS = 16
FARTHEST = 1e6
"""Deviations from the mean at which a scaled number is held: what follows multiplies float32s."""
RATE_PRIOR_WEIGHT = 20.0
"""Impressions that the prior click rate counts for in a smoothed rate."""


@dataclass(frozen=True, kw_only=True)
class RawColumn:
    """An input of the graph: one value a row, or a list a row."""

    name: str
    kind: Kind
    side: Side
    ragged: bool = False


@dataclass(frozen=True, kw_only=True)
class VocabularyPlan:
    """Ids of one vocabulary: 0 missing, ``1..oov_buckets`` hashed unknowns, then values by count.

    ``inputs`` maps raw columns to the transformed columns that hold their ids; values of all of
    them are counted, in candidate and in sequences: an item that only histories hold deserves an
    embedding too.
    """

    name: str
    oov_buckets: int
    min_count: int
    inputs: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class NumberPlan:
    """A number: a raw column, or a smoothed rate of counters.

    ``levels`` are pairs of columns, nearest first: how many events, out of how many. Each level's
    rate is ``(events + smoothing * rate of the next level) / (per + smoothing)``; after the last
    one stands ``prior``, the rate of the training split.
    """

    name: str
    side: Side
    scale: Literal["log", "linear"]
    buckets: int
    levels: tuple[tuple[str, str], ...] = ()
    smoothing: float = RATE_PRIOR_WEIGHT
    prior: float = 0.0

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns it is made of."""
        columns = [name for level in self.levels for name in level]
        return tuple(columns) or (self.name,)


def scaling_width(numbers: Sequence[NumberPlan]) -> int:
    """Columns of the constant that holds how numbers are scaled: mean, deviation and the edges of the number with the most buckets."""
    return 2 + max(1, max(number.buckets for number in numbers) - 2)


@dataclass(frozen=True, kw_only=True)
class TransformPlan:
    """Everything the preprocessing function and the specification are generated from."""

    raw: tuple[RawColumn, ...]
    vocabularies: tuple[VocabularyPlan, ...]
    time_fields: tuple[str, ...]
    numbers: tuple[NumberPlan, ...]
    gaps: dict[str, str]
    sequences: tuple[SequenceFeature, ...]
    tasks: tuple[str, ...]
    personal: frozenset[str] = frozenset()
    """Raw columns of the user with the candidate: of pairs, of matches, and statistics of these.
    Rates of another side that read the user's counters are of user and candidate too."""

    def column(self, name: str) -> RawColumn:
        """The raw column called ``name``."""
        return next(column for column in self.raw if column.name == name)

    def numbers_of(self, side: Side) -> tuple[NumberPlan, ...]:
        """The numbers of one side, in order."""
        return tuple(number for number in self.numbers if number.side == side)

    def lent(self, sides: Collection[Side]) -> tuple[RawColumn, ...]:
        """Raw columns of other sides that numbers of ``sides`` are made of, one value a row."""
        wanted = {name for n in self.numbers if n.side in sides for name in n.inputs}
        return tuple(c for c in self.raw if c.name in wanted and c.side not in sides)

    def spec(self, sizes: dict[str, int]) -> FeatureSpec:
        """The specification, given how many values each learned vocabulary holds."""
        sides = {column.name: column.side for column in self.raw}
        ragged = {column.name for column in self.raw if column.ragged}
        vocabularies = [
            Vocabulary(
                name=v.name, size=1 + v.oov_buckets + sizes[v.name], oov_buckets=v.oov_buckets
            )
            for v in self.vocabularies
        ]
        categorical = [
            CategoricalFeature(name=output, side=sides[raw], vocabulary=v.name)
            for v in self.vocabularies
            for raw, output in v.inputs.items()
            if raw not in ragged
        ]
        for name in self.time_fields:
            size = 2 + TIME_FIELDS[name].size
            vocabularies.append(Vocabulary(name=name, size=size, oov_buckets=1))
            categorical.append(
                CategoricalFeature(name=index_column(name), side="context", vocabulary=name)
            )
        if self.gaps:
            size = 2 + len(GAP_BOUNDARIES)
            vocabularies.append(Vocabulary(name=GAP, size=size, oov_buckets=0))
        return FeatureSpec(
            tasks=tuple(TaskSpec(name=t, column=label_column(t)) for t in self.tasks),
            vocabularies=tuple(vocabularies),
            categorical=tuple(categorical),
            numeric=tuple(
                NumericFeature(
                    name=f"{n.name}_scaled",
                    side=n.side,
                    bucket=f"{n.name}_bucket",
                    buckets=n.buckets,
                    personal=not self.personal.isdisjoint(n.inputs)
                    or (n.side != "user" and any(sides[name] == "user" for name in n.inputs)),
                )
                for n in self.numbers
            ),
            sequences=self.sequences,
        )


def index_column(name: str) -> str:
    """Name of the id column of a raw categorical column."""
    return f"{name}_index"


def rate_name(definition: DatasetDefinition, counter: Counter, task: str, window: str) -> str:
    """Name of a smoothed rate, e.g. ``author_click_rate_1d``."""
    return f"{counter.prefix}_{task}_rate_{window}"


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_integer(kind):
        return "int"
    return "float" if pa.types.is_floating(kind) else "string"


def _raw_columns(definition: DatasetDefinition, types: ColumnTypes) -> tuple[RawColumn, ...]:
    flat: dict[str, pa.DataType] = {"user_id": types.user_id, "item_id": types.item_id}
    flat |= {name: types.context[name] for name in definition.context_columns}
    flat |= {name: pa.int64() for name in definition.time_fields}
    flat |= {name: types.users[name] for name in definition.user_columns}
    fields = {c.name for c in definition.categorical} | {n.name for n in definition.numeric}
    flat |= {name: types.items[name] for name in definition.item_columns if name in fields}
    if definition.has_item_age:
        flat["item_age_days"] = pa.float64()
    flat |= {name: pa.int64() for name in definition.counter_columns}
    flat |= {name: pa.int64() for name in definition.match_columns}
    flat |= {name: pa.float64() for name in definition.within_request_columns}
    side = definition.side_of
    columns = [
        RawColumn(name=name, kind=_kind(kind), side=side(name)) for name, kind in flat.items()
    ]
    lists: dict[str, pa.DataType] = {"item_id": types.item_id}
    lists |= {name: types.items[name] for name in definition.sequences.columns}
    lists |= {"action": pa.string(), "gap_s": pa.int64()}
    for sequence in SEQUENCES:
        columns += [
            RawColumn(
                name=sequence_column(sequence, name), kind=_kind(kind), side="user", ragged=True
            )
            for name, kind in lists.items()
        ]
    return tuple(columns)


def overall_columns(definition: DatasetDefinition) -> dict[str, tuple[str, str]]:
    """Rates with actions, whose overall rate no label tells: name -> the widest key's two columns."""
    labels = ("impression", *definition.tasks)
    return {
        rate.column(window): levels[-1]
        for rate in definition.rates
        if rate.event not in labels or rate.per not in labels
        for window, levels in rate_levels(definition, rate)
    }


def rate_levels(
    definition: DatasetDefinition, rate: Rate
) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Each window of a rate, and the columns that the rate is made of there."""
    counters, tasks = definition.counters, definition.tasks
    for window in rate.windows_of(counters, tasks):
        yield window, rate.levels(counters, tasks, window)


def _rates(definition: DatasetDefinition, priors: Mapping[str, float]) -> Iterator[NumberPlan]:
    for rate in definition.rates:
        for window, levels in rate_levels(definition, rate):
            name = rate.column(window)
            sides = {definition.side_of(column) for level in levels for column in level}
            if name in priors:
                prior = priors[name]
            elif rate.per == "impression":
                prior = priors[rate.event]
            else:
                prior = priors[rate.event] / priors[rate.per] if priors[rate.per] else 0.0
            yield NumberPlan(
                name=name,
                side=next(side for side in ("item", "context", "user") if side in sides),
                scale="linear",
                buckets=COUNTER_BUCKETS,
                levels=levels,
                smoothing=rate.smoothing,
                prior=prior,
            )


def _numbers(definition: DatasetDefinition, priors: dict[str, float]) -> tuple[NumberPlan, ...]:
    side = definition.side_of
    rates = list(_rates(definition, priors))
    declared = {rate.name for rate in rates}
    numbers = [
        NumberPlan(name=n.name, side=side(n.name), scale=n.scale, buckets=n.buckets)
        for n in definition.numeric
    ]
    if definition.has_item_age:
        numbers.append(
            NumberPlan(name="item_age_days", side="item", scale="log", buckets=COUNTER_BUCKETS)
        )
    for name in (*definition.counter_columns, *definition.match_columns):
        numbers.append(NumberPlan(name=name, side=side(name), scale="log", buckets=COUNTER_BUCKETS))
    for counter in definition.counters:
        events = definition.counter_events(counter)
        if "impression" not in events:
            continue
        for task in (task for task in definition.tasks if task in events):
            for window in counter.windows:
                positives = counter.column(task, window)
                name = rate_name(definition, counter, task, window)
                if name in declared:
                    continue
                numbers.append(
                    NumberPlan(
                        name=name,
                        side=side(positives),
                        scale="linear",
                        buckets=COUNTER_BUCKETS,
                        levels=((positives, counter.column("impression", window)),),
                        prior=priors[task],
                    )
                )
    numbers += rates
    scales = {n.name: n.scale for n in numbers}
    for made in definition.within_request:
        for statistic, name in zip(made.statistics, made.columns, strict=True):
            scale: Literal["log", "linear"] = scales[made.of]
            if statistic in LOGARITHMIC:
                scale = "log"
            elif statistic == "ratio_to_mean":
                scale = "linear"
            numbers.append(NumberPlan(name=name, side="item", scale=scale, buckets=COUNTER_BUCKETS))
    return tuple(numbers)


def _personal(definition: DatasetDefinition) -> frozenset[str]:
    pairs = [c for c in definition.counters if c.is_pair and c.by_user]
    names = {name for c in pairs for name in c.columns(definition.tasks)}
    names |= set(definition.match_columns)
    made = (one for one in definition.within_request if one.of in names)
    return frozenset(names | {name for one in made for name in one.columns})


def _vocabulary(
    field: Categorical | None, name: str, measured: int, inputs: dict[str, str]
) -> VocabularyPlan:
    """Where new values are told apart, those that training saw once count as new: they train the
    hash buckets."""
    stated = 1 if field is None else field.oov_buckets
    least = 1 if field is None else field.min_count
    buckets = measured if stated == "auto" else stated
    if stated == "auto" and buckets > 1:
        least = max(least, 2)
    return VocabularyPlan(name=name, oov_buckets=buckets, min_count=least, inputs=inputs)


def make_plan(
    definition: DatasetDefinition,
    types: ColumnTypes,
    priors: dict[str, float],
    buckets: Mapping[str, int] | None = None,
) -> TransformPlan:
    """The plan of a data set.

    Args:
        definition: of the data set.
        types: of its columns.
        priors: each task's positive share of the training split, and the overall rates of :func:`overall_columns`.
        buckets: hash buckets of vocabularies that say ``auto``; one where it names none.
    """
    shared = {c.name: c.vocabulary or c.name for c in definition.categorical}
    inputs: dict[str, dict[str, str]] = {name: {} for name in shared.values()}
    for name, vocabulary in shared.items():
        inputs[vocabulary][name] = index_column(name)
    roles = ("item_id", *definition.sequences.columns)
    sequences = []
    for sequence in SEQUENCES:
        columns = []
        for role in roles:
            raw = sequence_column(sequence, role)
            inputs[shared[role]][raw] = index_column(raw)
            columns.append(
                SequenceColumn(role=role, column=index_column(raw), vocabulary=shared[role])
            )
        action = sequence_column(sequence, ACTION)
        columns += [
            SequenceColumn(role=ACTION, column=index_column(action), vocabulary=ACTION),
            SequenceColumn(
                role=GAP, column=sequence_column(sequence, "gap_bucket"), vocabulary=GAP
            ),
        ]
        length = getattr(definition.sequences, f"{sequence}_length")
        sequences.append(SequenceFeature(name=sequence, max_length=length, columns=tuple(columns)))
    settings = {c.name: c for c in definition.categorical}
    vocabularies = [
        _vocabulary(settings.get(name), name, (buckets or {}).get(name, 1), columns_of)
        for name, columns_of in inputs.items()
    ]
    actions = {
        sequence_column(s, ACTION): index_column(sequence_column(s, ACTION)) for s in SEQUENCES
    }
    vocabularies.append(VocabularyPlan(name=ACTION, oov_buckets=1, min_count=1, inputs=actions))
    return TransformPlan(
        raw=_raw_columns(definition, types),
        vocabularies=tuple(vocabularies),
        time_fields=definition.time_fields,
        numbers=_numbers(definition, priors),
        gaps={sequence_column(s, "gap_s"): sequence_column(s, "gap_bucket") for s in SEQUENCES},
        sequences=tuple(sequences),
        tasks=definition.tasks,
        personal=_personal(definition),
    )
