"""The text of a first definition: what is sure is written, what is not stays a commented choice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from hemix.features.drafting.profile import ROWS, FileProfile, Profile
from hemix.features.drafting.roles import Guess, Roles, positive_rate

CHOOSE = "CHOOSE"
FEW = 1000
"""Whole numbers of at most so many kinds may be a category."""
_FIXED = {
    *("user_id", "item_id", "event_time", "request_id", "known_at", "valid_from", "created_at"),
    *("hour", "weekday", "impression", "item_age_days", "action"),
}
"""Names that hemix gives, which no column of a log may have."""
_TRUTHS = {"1", "1.0", "true", "t", "yes", "y", "0", "0.0", "false", "f", "no", "n"}


def draft(name: str, roles: Roles) -> str:
    """A definition in YAML, with comments that say why, and what is left to choose."""
    return "\n".join([*_Draft(name, roles).lines(), ""])


class _Draft:
    def __init__(self, name: str, roles: Roles) -> None:
        self.name, self.roles, self.log = name, roles, roles.log
        self.taken = {g.column for g in roles.guesses.values() if g.column}
        self.labels = [c for c in self._rest() if c.kind == "flag"]
        self.names: set[str] = set()
        tables = [t for t in (roles.users, roles.items) if t]
        self.ours = {c.name: self._own(_name(c.name)) for c in self.labels}
        """Our name of each column of the log that has no role; what stands in comments comes last."""
        self.theirs = {
            (file.path, c.name): self._own(_name(c.name))
            for file, key, _ in tables
            for c in file.columns.values()
            if c.name != key and c.kind not in ("empty", "time", "list") and not c.unique
        }
        """Our name of each attribute of users and items."""
        others = [c for c in self._rest() if c.name not in self.ours]
        self.ours |= {c.name: self._own(_name(c.name)) for c in others}

    def _rest(self) -> list[Profile]:
        return [c for c in self.log.columns.values() if c.name not in self.taken]

    def lines(self) -> Iterator[str]:
        files = [self.log, *(t[0] for t in (self.roles.users, self.roles.items) if t)]
        yield f"# Drafted by hemix init from {_line(', '.join(f.path for f in files))}."
        for file in files:
            head = f"the first {ROWS:,} rows" if file.cut else f"all {file.rows:,} rows"
            yield f"#   {_line(file.path)}: looked at {head}"
        for path in self.roles.unused:
            yield f"#   {_line(path)}: not used; no column of the log is its key"
        yield f"# Left to you is what stands in comments, and where it says {CHOOSE}; then: hemix check THIS_FILE"
        yield f"name: {self.name}"
        yield from self._interactions()
        yield from self._behaviors()
        fields = [*self._table("users", self.roles.users), *self._table("items", self.roles.items)]
        attributes: list[tuple[str, Profile]] = []
        for entry in fields:
            if isinstance(entry, str):
                yield entry
            else:
                attributes.append(entry)
        yield from self._fields(attributes)
        yield from self._split()

    # ---- the log --------------------------------------------------------------------------------

    def _interactions(self) -> Iterator[str]:
        yield "interactions:"
        yield f"  - paths: [{_quoted(self.log.path)}]"
        if self.log.separator != "auto":
            yield f"    separator: {_quoted(self.log.separator)}"
        time = self.roles.guesses["event_time"].column
        if time:
            yield from _how_times(self.log.columns[time], "    ")
        yield "    columns:"
        for role, guess in self.roles.guesses.items():
            yield from self._role(role, guess)
        for column in self._rest():
            if column.kind in ("category", "number"):
                kind = "a number" if column.kind == "number" else f"{column.distinct:,} values"
                yield (
                    f"      # {self.ours[column.name]}: {_quoted(column.name)}   # {kind}; take it in if it is "
                    "known when the request is made, and list it below"
                )
        yield from self._other_columns()
        yield from self._labels()

    def _role(self, role: str, guess: Guess) -> Iterator[str]:
        if guess.column is not None:
            yield f"      {role}: {_quoted(guess.column)}   # {guess.reason}"
            column = self.log.columns[guess.column]
            if column.kind == "list":
                yield f"      #   it holds lists: name it under `explode` too ({_lists(column)})"
        else:
            yield f"      {role}: {CHOOSE}   # {guess.reason}; one of: {', '.join(map(_line, guess.others)) or 'none'}"

    def _other_columns(self) -> Iterator[str]:
        for column in self._rest():
            if column.kind == "list":
                name = _line(column.name)
                yield f"    # {name} holds lists: `explode: [{name}]` makes a row an element ({_lists(column)})"
            if column.kind == "empty":
                yield f"    # {_line(column.name)} is empty"
            if (
                column.kind == "category"
                and 1 < column.distinct <= 30
                and _speaks_of_actions(column.name)
            ):
                values = ", ".join(map(_quoted, column.values.drop_nulls().unique().sort()))
                name = _line(column.name)
                yield f"    # {name} looks like kinds of rows ({values}): `where: {{{name}: ...}}` reads one kind"

    def _labels(self) -> Iterator[str]:
        if self.labels:
            yield "    labels:"
        for column in self.labels:
            rates = positive_rate(column.values.str.to_lowercase())
            yes = sum(rate for text, rate in rates.items() if text in _positive())
            yield f"      {self.ours[column.name]}: {{column: {_quoted(column.name)}}}   # {yes:.1%} are positive"
        if not self.labels:
            yield f"    labels: {CHOOSE}   # what is predicted; no column is 0/1, true/false or yes/no. Such as:"
        for column in self._rest():
            if column.kind == "category" and column.distinct == 2:
                rates = positive_rate(column.values)
                told = ", ".join(f"{text}: {rate:.1%}" for text, rate in sorted(rates.items()))
                first = _quoted(sorted(rates)[0])
                yield f"      # {self.ours[column.name]}: {{column: {_quoted(column.name)}, equals: {first}}}   # which is positive? {told}"
            if column.kind == "number":
                middle = column.values.drop_nulls().cast(pl.Float64).median()
                yield f"      # {self.ours[column.name]}: {{column: {_quoted(column.name)}, at_least: {middle:g}}}   # its median"

    def _behaviors(self) -> Iterator[str]:
        tasks = [self.ours[column.name] for column in self.labels]
        yield "derived_behaviors:   # what sequences are made of: the same events"
        if tasks:
            yield f"  actions: {{{', '.join(f'{t}: {t}' for t in tasks)}}}"
        else:
            yield f"  actions: {CHOOSE}   # task: name of the action"
        yield "  # otherwise: seen   # makes an event of rows without a positive label too"

    # ---- users and items ------------------------------------------------------------------------

    def _table(
        self, table: str, found: tuple[FileProfile, str, str] | None
    ) -> Iterator[str | tuple[str, Profile]]:
        if found is None:
            return
        file, key, told = found
        role = "user_id" if table == "users" else "item_id"
        yield f"{table}:   # {told}"
        yield f"  - paths: [{_quoted(file.path)}]"
        if file.separator != "auto":
            yield f"    separator: {_quoted(file.separator)}"
        yield "    columns:"
        yield f"      {role}: {_quoted(key)}"
        times = []
        for column in file.columns.values():
            if column.name == key or column.kind == "empty":
                continue
            if column.kind == "time":
                times.append(column)
                yield f"      # {_name(column.name)}: {_quoted(column.name)}   # a time: `valid_from` if the row holds from then on{', `item_created_at` if the item came into being then' if table == 'items' else ''}"
            elif column.kind == "list":
                yield f"      # {_name(column.name)}: {_quoted(column.name)}   # lists, {_lists(column)}: one value a row is read"
            elif column.unique:
                yield f"      # {_name(column.name)}: {_quoted(column.name)}   # another value in every row: it says nothing of a kind"
            else:
                name = self.theirs[file.path, column.name]
                yield f"      {name}: {_quoted(column.name)}"
                yield (name, column)
        for column in times:
            yield from (f"    # {line.strip()}" for line in _how_times(column, ""))

    def _own(self, name: str) -> str:
        """A name that nothing else has, neither of the log and the tables nor one that is fixed."""
        found, number = name, 2
        while found in self.names or found in _FIXED:
            found, number = f"{name}_{number}", number + 1
        self.names.add(found)
        return found

    def _fields(self, attributes: list[tuple[str, Profile]]) -> Iterator[str]:
        tasks = [self.ours[column.name] for column in self.labels]
        yield (
            f"tasks: [{', '.join(tasks)}]"
            if tasks
            else f"tasks: {CHOOSE}   # the names of `labels`"
        )
        numbers = [n for n, c in attributes if c.kind == "number" and not _is_code(c)]
        categories = [(n, c) for n, c in attributes if n not in numbers]
        yield "categorical:"
        yield "  - {name: user_id}"
        yield "  - {name: item_id}"
        for name, column in categories:
            yield f"  - {{name: {name}}}   # {column.distinct:,} values"
        if numbers:
            yield "numeric:"
        for name in numbers:
            yield f"  - {{name: {name}}}"
        shared = [
            n
            for n, c in categories
            if self.roles.items and c.name in self.roles.items[0].columns and c.kind == "category"
        ]
        if shared:
            yield f"sequences: {{columns: [{shared[0]}]}}   # attributes of items beside the ids in a history"
        yield "counters:"
        yield "  - {key: user_id}"
        yield "  - {key: item_id}"
        yield "  - {key: [user_id, item_id], since_last: true}"
        if self.labels:
            task = self.ours[self.labels[0].name]
            yield "rates:   # of a key that was seldom seen, drawn towards the parents' rates"
            yield f"  - {{key: [user_id, item_id], event: {task}, parents: [item_id]}}"
        yield "matches:"
        yield "  - {column: item_id}"

    def _split(self) -> Iterator[str]:
        guess = self.roles.guesses["event_time"]
        times = self.log.columns[guess.column].times if guess.column else None
        yield "split:   # the last fifth of the log tests"
        if times is None or self.log.cut:
            yield f"  train: {{start: {CHOOSE}, end: {CHOOSE}}}   # the times are not known for sure"
            yield f"  test: {{start: {CHOOSE}, end: {CHOOSE}}}"
            return
        first, last = int(times.min()), int(times.max()) + 1000
        edges = _edges(first, last)
        if not edges[0] < edges[1] < edges[2]:
            yield f"  train: {{start: {CHOOSE}, end: {CHOOSE}}}   # all rows are of {edges[0]}"
            yield f"  test: {{start: {CHOOSE}, end: {CHOOSE}}}"
            return
        yield f"  train: {{start: {edges[0]}, end: {edges[1]}}}"
        yield f"  test: {{start: {edges[1]}, end: {edges[2]}}}"


def _edges(first_ms: int, last_ms: int) -> tuple[str, str, str]:
    """Start, cut and end of the log, at midnights where it lasts a week or more."""
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (first_ms, last_ms))
    cut = first + (last - first) * 0.8
    if last - first >= timedelta(days=7):
        end = (last + timedelta(days=1)).date()
        return first.date().isoformat(), cut.date().isoformat(), end.isoformat()
    end_at = last + timedelta(seconds=1)
    return tuple(f"{t:%Y-%m-%dT%H:%M:%S}Z" for t in (first, cut, end_at))  # type: ignore[return-value]


def _how_times(column: Profile, indent: str) -> Iterable[str]:
    if column.unit:
        yield f"{indent}time_unit: {column.unit}   # by the size of {_line(column.name)}"
    if len(column.written) == 1:
        yield f"{indent}time_format: {_quoted(column.written[0])}   # the only way that fits all of {_line(column.name)}"
    if len(column.written) > 1:
        example = column.values.drop_nulls()[0]
        ways = " or ".join(map(_quoted, column.written))
        yield f"{indent}# time_format: {CHOOSE}   # {_line(column.name)} holds {example}: {ways}? all of them fit every row"


def _lists(column: Profile) -> str:
    if not column.lists:
        return "Parquet's own lists"
    return f"`lists: {{{_line(column.name)}: {_quoted(column.lists)}}}`"


def _is_code(column: Profile) -> bool:
    """Whole numbers of few kinds may be codes: they are read as a category."""
    whole = column.values.drop_nulls().str.contains(r"^-?\d+$").all()
    return bool(whole) and column.distinct <= min(FEW, max(2, column.rows // 20))


def _speaks_of_actions(name: str) -> bool:
    return any(word in name.lower() for word in ("action", "event", "type", "kind"))


def _positive() -> set[str]:
    return {"1", "1.0", "true", "t", "yes", "y"}


def _name(theirs: str) -> str:
    """A name of ours for a column: lower_snake_case, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", theirs).lower()).strip(
        "_"
    )
    name = name if name[:1].isalpha() else f"c_{name}".rstrip("_")
    return name[:56]


def _line(text: str) -> str:
    """A text in a comment: on one line."""
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)


def _quoted(text: str) -> str:
    """A text as YAML takes it: plain where that is safe."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text) and text.lower() not in {
        *("null", "true", "false", "yes", "no", "on", "off", "y", "n"),
    }:
        return text
    return json.dumps(text, ensure_ascii=False)
