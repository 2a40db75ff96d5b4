"""What the columns of a log's files are for, guessed from names and from what joins; with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from hemix.errors import DataError
from hemix.features.drafting.profile import FileProfile, Profile

WORDS = {
    "user_id": (
        *("user", "listener", "customer", "visitor", "member", "reader", "viewer", "client"),
        *("person", "account", "uid", "session"),
    ),
    "item_id": (
        *("item", "song", "track", "product", "article", "video", "movie", "film", "hotel"),
        *("sku", "book", "post", "news", "ad", "offer", "asin", "reference", "venue", "content"),
    ),
    "event_time": ("time", "timestamp", "date", "at", "ts", "when", "datetime", "started"),
    "request_id": ("request", "impression", "search", "query", "page_view", "pageview"),
}
"""Words in columns' names that say what they are, the surest first."""
JOINS = 0.5
"""Share of a log's values that another file must hold to be its table of users or of items."""


@dataclass
class Guess:
    """A column for a role and why; or several, of which a person must choose."""

    column: str | None
    reason: str
    others: tuple[str, ...] = ()


@dataclass
class Roles:
    """The log, its tables of users and items (with their keys), and the columns of the log."""

    log: FileProfile
    users: tuple[FileProfile, str, str] | None = None
    items: tuple[FileProfile, str, str] | None = None
    unused: list[str] = field(default_factory=list)
    guesses: dict[str, Guess] = field(default_factory=dict)


def roles_of(files: list[FileProfile]) -> Roles:
    """Which file is the log, which describe users and items, and what the log's columns are.

    Raises:
        DataError: no file has a column of times.
    """
    timed = [f for f in files if any(c.kind == "time" for c in f.columns.values())]
    logs = [f for f in timed if not _keys(f)] or timed
    if not logs:
        raise DataError(
            f"None of {', '.join(f.path for f in files)} has a column of times.",
            hint="One file must be the log: one row per event, with a user, an item and a time.",
        )
    log = max(logs, key=lambda f: f.rows)
    roles = Roles(log=log)
    joined = _joins(log, [f for f in files if f is not log])
    for role in ("user_id", "item_id"):
        roles.guesses[role] = _named(role, log, tuple(joined))
    roles.guesses["event_time"] = _time(log)
    taken = {guess.column for guess in roles.guesses.values()}
    request = _named("request_id", log, (), taken)
    if request.column:
        roles.guesses["request_id"] = request
    for file in files:
        if file is log:
            continue
        for role, attribute in (("user_id", "users"), ("item_id", "items")):
            column = roles.guesses[role].column
            found = joined.get(column or "", {}).get(file.path)
            if found is not None:
                key, share = found
                told = f"{share:.0%} of {column} in {log.path} stand in {key}"
                setattr(roles, attribute, (file, key, told))
                break
        else:
            roles.unused.append(file.path)
    return roles


def _keys(file: FileProfile) -> list[Profile]:
    return [c for c in file.columns.values() if c.unique and c.kind in ("category", "number")]


def _joins(log: FileProfile, others: list[FileProfile]) -> dict[str, dict[str, tuple[str, float]]]:
    """The log's column -> file -> that file's key that holds most of its values, and the share."""
    found: dict[str, dict[str, tuple[str, float]]] = {}
    for column in log.columns.values():
        if column.kind not in ("category", "number") or column.distinct < 2:
            continue
        values = column.values.drop_nulls().unique()
        for file in others:
            for key in _keys(file):
                share = float(values.is_in(key.values.implode()).mean() or 0.0)
                same = _about(column.name) & _about(key.name)
                if share >= JOINS and (same or key.name == column.name or share > 0.9):
                    best = found.setdefault(column.name, {}).get(file.path)
                    if best is None or share > best[1]:
                        found[column.name][file.path] = (key.name, share)
    return found


def _about(name: str) -> set[str]:
    """The roles that a name speaks of."""
    return {role for role, words in WORDS.items() if any(_says(name, word) for word in words)}


def _says(name: str, word: str) -> bool:
    parts = name.lower().replace("-", "_").replace(".", "_").split("_")
    return any(part == word or part == f"{word}s" or part == f"{word}id" for part in parts)


def _named(
    role: str, log: FileProfile, joined: tuple[str, ...], taken: set[str | None] | None = None
) -> Guess:
    """The column whose name says what it is; one that joins another file goes first."""
    possible = [
        c
        for c in log.columns.values()
        if c.kind in ("category", "number", "list") and c.name not in (taken or set())
    ]
    for word in WORDS[role]:
        named = [c.name for c in possible if _says(c.name, word)]
        joining = [name for name in named if name in joined]
        named = joining or named
        if len(named) == 1:
            why = f"its name says {word}"
            if named[0] in joined:
                why += ", and another file describes its values"
            return Guess(named[0], why)
        if named:
            return Guess(None, f"several columns speak of {word}", tuple(named))
    names = tuple(c.name for c in possible if c.distinct > 1)
    return Guess(None, "no column's name says it", names)


def _time(log: FileProfile) -> Guess:
    times = [c for c in log.columns.values() if c.kind == "time"]
    if len(times) == 1:
        return Guess(times[0].name, "the only column of times")
    for word in WORDS["event_time"]:
        named = [c.name for c in times if _says(c.name, word)]
        if len(named) == 1:
            return Guess(named[0], f"its name says {word}")
    return Guess(None, "several columns hold times", tuple(c.name for c in times))


def positive_rate(values: pl.Series) -> dict[str, float]:
    """The share of each text of a column of two."""
    counts = values.drop_nulls().value_counts()
    total = int(counts["count"].sum())
    return {str(text): count / total for text, count in counts.iter_rows()}
