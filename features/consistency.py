"""What must hold between the parts of a definition; each check names the key and the mend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hemix.features.names import clashes
from hemix.features.rates.faults import rate_faults
from hemix.texts.documents import Contradictions
from hemix.texts.meant import meant
from hemix.texts.plain_yaml import Fault, Place

if TYPE_CHECKING:
    from hemix.features.declared_sources import TableSource
    from hemix.features.definition import DatasetDefinition
    from hemix.features.parts import Counter

LONGEST_NAME = 64
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WINDOW = re.compile(r"0*[1-9][0-9]{0,8}[smhd]|ever")
_KEYS = {
    "interactions": ("user_id", "item_id", "event_time"),
    "behaviors": ("user_id", "item_id", "event_time", "action"),
    "users": ("user_id",),
    "items": ("item_id",),
}
OPTIONAL = {
    "interactions": ("request_id", "known_at"),
    "behaviors": ("position", "known_at"),
    "users": ("valid_from",),
    "items": ("valid_from",),
}
"""Fixed names that a source of the table may have beside its keys; none of them is a field."""


_FORMS = ("at_least", "contains_item", "equals_item", "equals")
"""The ways to read a label, of which it takes one at most."""


def check(definition: DatasetDefinition) -> None:
    """Raise :class:`Contradictions` for all that contradicts another part of ``definition``."""
    definition, misspelt = _tasks(definition)
    faults = [
        *misspelt,
        *_names(definition),
        *_sources(definition),
        *_fields(definition),
        *_one_meaning_each(definition),
        *_vocabularies(definition),
        *_sequences_and_counters(definition),
        *_candidates(definition),
    ]
    # Generated names need fields that are all resolved.
    faults += clashes(definition, whole=not faults)
    if faults:
        raise Contradictions(faults)


def _fault(message: str, *place: str | int) -> Fault:
    return Fault(place=place, message=message)


def sources_of(definition: DatasetDefinition) -> Iterator[tuple[str, int, TableSource]]:
    """Every source with its table and number."""
    for table in _KEYS:
        for index, source in enumerate(getattr(definition, table)):
            yield table, index, source


def _listed(definition: DatasetDefinition) -> Iterator[tuple[Place, str]]:
    """Every name that is ours to choose, with its place."""
    for index, task in enumerate(definition.tasks):
        yield ("tasks", index), task
    for kind in ("categorical", "numeric"):
        for index, field in enumerate(getattr(definition, kind)):
            yield (kind, index), field.name
    for table, number, source in sources_of(definition):
        for part in ("columns", "constants"):
            for name in getattr(source, part):
                yield (table, number, part, name), name


def _names(definition: DatasetDefinition) -> Iterator[Fault]:
    for place, name in _listed(definition):
        if not _NAME.fullmatch(name):
            yield _fault(
                f"{name!r} must be lower_snake_case: a-z, 0-9 and _, a letter first", *place
            )
        elif len(name) > LONGEST_NAME:
            yield _fault(f"{name[:40]!r}... is longer than {LONGEST_NAME} letters", *place)
    lists: dict[str, Iterable[str]] = {
        "tasks": definition.tasks,
        "categorical": [c.name for c in definition.categorical],
        "numeric": [n.name for n in definition.numeric],
        "time_fields": definition.time_fields,
        "slices": definition.slices,
        "sequences.columns": definition.sequences.columns,
    }
    for key, names in lists.items():
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                yield _fault(f"a name is given twice: {name!r}", *key.split("."), index)
            seen.add(name)


def _tasks(definition: DatasetDefinition) -> tuple[DatasetDefinition, list[Fault]]:
    """Tasks that are a label's name with a slip; all else is then checked with what was meant."""
    labels = {name for source in definition.interactions for name in source.labels}
    derived, tasks, faults = definition.derived_behaviors, [*definition.tasks], []
    used = {*(derived.actions if derived else ())}.union(*(c.events for c in definition.counters))
    for index, task in enumerate(definition.tasks):
        close = meant(task, labels - {*tasks})
        if task in labels or not close or (task in used and close[0] not in used):
            continue  # the slip may be the label's
        tasks[index] = close[0]
        faults.append(_fault(f"there is no label {task!r}{near(task, labels)}", "tasks", index))
    return definition.model_copy(update={"tasks": tuple(tasks)}), faults


def _sources(definition: DatasetDefinition) -> Iterator[Fault]:
    for table, number, source in sources_of(definition):
        names = {*source.columns, *source.constants}
        for name in _KEYS[table]:
            if name not in names:
                yield _fault(f"it must name {name!r}", table, number, "columns")
        for name in sorted(set(source.columns) & set(source.constants)):
            yield _fault(f"{name!r} is in columns too", table, number, "constants", name)
        for name in sorted({n for n in source.explode if source.explode.count(n) > 1}):
            yield _fault(f"{name!r} is given twice", table, number, "explode")
        if not source.explode:
            for ours, theirs in source.columns.items():
                if theirs == "$position":
                    told = "$position is the place in an exploded list, and there is no `explode`"
                    yield _fault(told, table, number, "columns", ours)
        if source.time_format is not None and source.time_unit != "auto":
            told = "time_unit says that times are numbers; leave one of them out"
            yield _fault(told, table, number, "time_format")
    for index, source in enumerate(definition.interactions):
        place = ("interactions", index, "labels")
        missing = []
        for task in (task for task in definition.tasks if task not in source.labels):
            if slip := meant(task, {*source.labels} - {*definition.tasks}):
                told = f"there is no task {slip[0]!r}{near(slip[0], definition.tasks)}"
                yield _fault(told, *place, slip[0])
            else:
                missing.append(task)
        if missing:
            yield _fault(f"it lacks the tasks {missing}", *place)
        for task, label in source.labels.items():
            forms = [form for form in _FORMS if getattr(label, form) not in (None, False)]
            if len(forms) > 1:
                yield _fault(f"{' and '.join(forms)} exclude each other", *place, task)
    for index, behavior in enumerate(definition.behaviors):
        known = {*_KEYS["behaviors"], *OPTIONAL["behaviors"]}
        for name in (*behavior.columns, *behavior.constants):
            if name not in known:
                part = "columns" if name in behavior.columns else "constants"
                told = f"behaviors have no column {name!r}; known: {', '.join(sorted(known))}"
                yield _fault(told, "behaviors", index, part, name)
    yield from _derived(definition)


def _derived(definition: DatasetDefinition) -> Iterator[Fault]:
    derived = definition.derived_behaviors
    if derived is None:
        if not definition.behaviors:
            yield _fault("give behaviors, derived_behaviors, or both: sequences need events")
        return
    for task, action in derived.actions.items():
        if task not in definition.tasks:
            told = f"there is no task {task!r}{near(task, definition.tasks)}"
            yield _fault(told, "derived_behaviors", "actions", task)
        if not action.strip():
            yield _fault("an action needs a name", "derived_behaviors", "actions", task)
    if derived.otherwise is not None and not derived.otherwise.strip():
        yield _fault("an action needs a name", "derived_behaviors", "otherwise")


def columns_of(sources: tuple[TableSource, ...]) -> set[str]:
    """Our names of all columns of some sources."""
    return {name for source in sources for name in (*source.columns, *source.constants)}


def near(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, all of them, or that there is none, for the end of a message."""
    names = sorted(known)
    if close := meant(name, names):
        return f"; did you mean {close[0]!r}? known: {', '.join(names)}"
    return f"; known: {', '.join(names)}" if names else "; there is none"


def _fields(definition: DatasetDefinition) -> Iterator[Fault]:
    fields = [
        (kind, index, field.name)
        for kind in ("categorical", "numeric")
        for index, field in enumerate(getattr(definition, kind))
    ]
    attributes: dict[str, set[str]] = {
        table: columns_of(getattr(definition, table)) - {*_KEYS[table], *OPTIONAL[table]}
        for table in ("interactions", "users", "items")
    }
    known = {"user_id", "item_id"}.union(*attributes.values())
    for kind, index, name in fields:
        if name in known:
            continue
        fixed = any(name in (*_KEYS[t], *OPTIONAL[t]) for t in attributes)
        told = f"no source has a column {name!r}"
        if fixed:
            told = f"{name!r} is a fixed column of the log and no field"
        yield _fault(told + near(name, known), kind, index, "name")
    sliced = {name for *_, name in fields} | {*definition.item_columns, *definition.time_fields}
    for index, name in enumerate(definition.slices):
        if name not in sliced:
            yield _fault(f"{name!r} is not a field{near(name, sliced)}", "slices", index)
    created = definition.item_created_at
    items = columns_of(definition.items) - {"item_id", "valid_from"}
    if created is not None and created not in items:
        told = f"{created!r} must be a column of items{near(created, items)}"
        yield _fault(told, "item_created_at")


def _one_meaning_each(definition: DatasetDefinition) -> Iterator[Fault]:
    """A field is categorical or numeric, and comes from one table."""
    categorical = {field.name for field in definition.categorical}
    for index, field in enumerate(definition.numeric):
        if field.name in categorical:
            yield _fault(f"{field.name!r} is listed under categorical too", "numeric", index)
    tables = {
        "interactions": set(definition.context_columns),
        "users": set(definition.user_columns),
        "items": set(definition.item_columns),
    }
    for one, other in (("interactions", "users"), ("interactions", "items"), ("users", "items")):
        for name in sorted(tables[one] & tables[other]):
            told = f"{name!r} is a column of {one} too; give one of them another name"
            yield _fault(told, *_place_of(definition, other, name))


def _place_of(definition: DatasetDefinition, table: str, name: str) -> Place:
    for number, source in enumerate(getattr(definition, table)):
        for part in ("columns", "constants"):
            if name in getattr(source, part):
                return (table, number, part, name)
    return (table,)


def _vocabularies(definition: DatasetDefinition) -> Iterator[Fault]:
    fields = {field.name: field for field in definition.categorical}
    for index, field in enumerate(definition.categorical):
        shared = field.vocabulary
        if shared is None or shared == field.name:
            continue
        place = ("categorical", index, "vocabulary")
        if shared not in fields:
            told = f"{shared!r} is no categorical field{near(shared, fields)}"
            yield _fault(told, *place)
        elif fields[shared].vocabulary not in (None, shared):
            told = f"{shared!r} has itself the ids of {fields[shared].vocabulary!r}; name that one"
            yield _fault(told, *place)
        else:
            for setting in ("min_count", "oov_buckets"):
                own, theirs = getattr(field, setting), getattr(fields[shared], setting)
                if own not in (1, "auto", theirs):
                    told = f"the ids are those of {shared!r}, whose {setting} is {theirs}; leave it out"
                    yield _fault(told, "categorical", index, setting)


def _sequences_and_counters(definition: DatasetDefinition) -> Iterator[Fault]:
    items = columns_of(definition.items) - {"item_id", "valid_from"}
    categorical = {c.name for c in definition.categorical}
    for index, name in enumerate(definition.sequences.columns):
        if name not in items:
            told = f"{name!r} must be a column of items{near(name, items)}"
            yield _fault(told, "sequences", "columns", index)
    for name in ("user_id", "item_id", *definition.sequences.columns):
        if name not in categorical:
            yield _fault(f"{name!r} must be listed (it needs a vocabulary)", "categorical")
    yield from _counters(definition, items)
    yield from rate_faults(definition, actions_of(definition))
    for index, rate in enumerate(definition.rates):
        yield from _twice(rate, "rates", index, ("windows",))
    for index, match in enumerate(definition.matches):
        known = {"item_id", *definition.sequences.columns}
        if match.column not in known:
            told = f"{match.column!r} must be item_id or one of sequences.columns"
            yield _fault(told + near(match.column, known), "matches", index, "column")
        yield from _twice(match, "matches", index, ("sequences", "last"))


def _counters(definition: DatasetDefinition, items: set[str]) -> Iterator[Fault]:
    rows = {*definition.context_columns}
    for index, counter in enumerate(definition.counters):
        yield from _key(counter, index, items, rows)
        events = {"impression", *definition.tasks}
        for event in counter.events:
            if event not in events:
                told = f"there is no event {event!r}{near(event, events)}"
                if not counter.actions:
                    told += "; actions of behaviours are counted with `actions`"
                yield _fault(told, "counters", index, "events")
        actions = actions_of(definition)
        for action in counter.actions:
            if actions is not None and action not in actions:
                told = f"there is no action {action!r}{near(action, actions)}"
                yield _fault(told, "counters", index, "actions")
        if not counter.windows and not counter.since_last:
            told = "without windows and since_last it counts nothing; write [1d] or leave it out"
            yield _fault(told, "counters", index, "windows")
        for window in counter.windows:
            if not _WINDOW.fullmatch(window):
                yield _fault(
                    f"window {window!r} is not like 1h, 1d or ever", "counters", index, "windows"
                )
        yield from _twice(counter, "counters", index, ("events", "actions", "windows"))


def _key(counter: Counter, index: int, items: set[str], rows: set[str]) -> Iterator[Fault]:
    first, *others = counter.keys
    place = ("counters", index, "key")
    keys = {"user_id", "item_id", *items}
    if not others and first not in keys:
        told = f"key {first!r} must be user_id, item_id or an item column"
        yield _fault(told + near(first, keys), *place)
    if not others:
        return
    if first != "user_id":
        other = first if others[0] == "user_id" else others[0]
        yield _fault(f"a pair begins with user_id: [user_id, {other}]", *place)
        return
    halves = {"item_id", *items, *rows}
    if others[0] not in halves:
        told = f"{others[0]!r} must be item_id, an item column or a field of the interactions"
        yield _fault(told + near(others[0], halves), *place)
    elif counter.actions and others[0] in rows:
        told = f"behaviours have no column {others[0]!r}; leave actions out, or take an item column"
        yield _fault(told, "counters", index, "actions")


def actions_of(definition: DatasetDefinition) -> set[str] | None:
    """All actions of behaviours; None where the log's own column names them."""
    actions: set[str] = set()
    for source in definition.behaviors:
        if "action" in source.columns:
            return None
        actions.add(str(source.constants.get("action", "")))
    if (derived := definition.derived_behaviors) is not None:
        actions |= {*derived.actions.values()}
        actions |= {derived.otherwise} if derived.otherwise is not None else set()
    return actions


def _twice(part: object, table: str, index: int, lists: tuple[str, ...]) -> Iterator[Fault]:
    for name in lists:
        values: tuple[Any, ...] = getattr(part, name)
        for value in sorted({v for v in values if values.count(v) > 1}):
            yield _fault(f"{value!r} is given twice", table, index, name)


def _candidates(definition: DatasetDefinition) -> Iterator[Fault]:
    """``per`` and ``serve_as`` are said of columns of the interactions; statistics of numbers."""
    own = set(definition.context_columns)
    for kind in ("categorical", "numeric"):
        for index, field in enumerate(getattr(definition, kind)):
            said = {"per": field.per == "candidate", "serve_as": field.serve_as is not None}
            for key in (key for key, given in said.items() if given and field.name not in own):
                told = f"{field.name!r} is no column of interactions{near(field.name, own)}"
                yield _fault(f"only those have {key}: {told}", kind, index, key)
    candidates = {*definition.candidate_columns, *definition.item_columns}
    numbers = [field.name for field in definition.numeric if field.name in candidates]
    numbers += [name for name in definition.counter_columns if definition.side_of(name) == "item"]
    numbers += ["item_age_days"] if definition.has_item_age else []
    for index, made in enumerate(definition.within_request):
        if made.of in definition.request_columns:
            told = f"{made.of!r} is alike for all candidates of a request; say per: candidate of it"
            yield _fault(told, "within_request", index, "of")
        elif made.of not in numbers:
            told = f"{made.of!r} is not a number of a candidate or an item{near(made.of, numbers)}"
            yield _fault(told, "within_request", index, "of")
        for statistic in sorted({s for s in made.statistics if made.statistics.count(s) > 1}):
            yield _fault(f"{statistic!r} is given twice", "within_request", index, "statistics")
