"""A data set definition: one YAML file that says what a log's columns mean.

A definition names the sources of four tables (interactions, behaviors, users, items), the tasks,
the fields, the sequences, the counters and the split times. Everything downstream is generated
from it; a user's own log needs a definition and no code. Unknown keys are refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WrapValidator,
    model_validator,
)

from hemix.errors import DefinitionError
from hemix.features.sources.csv.dialect import TextRules
from hemix.features.split import Part, Split
from hemix.features.times import duration, realtime_window
from hemix.files import digest_of
from hemix.texts.documents import Document, checked, key_of, parse, read
from hemix.texts.naming import file_name
from hemix.texts.placeholders import without_placeholders

HINT = "See docs/user-guide.md for every key."
NO_SPLIT = {
    "train": {"start": "1970-01-01", "end": "1970-01-02"},
    "test": {"start": "1970-01-02", "end": "1970-01-03"},
}
EXAMPLES = Path(__file__).parent.parent / "examples"

Seconds = Annotated[int, BeforeValidator(duration), Field(ge=0)]
RealtimeWindow = Annotated[Literal["day", "last"] | Seconds, WrapValidator(realtime_window)]


class TableSource(Part, TextRules):
    """Files that hold one table, and which of their columns are which of ours.

    ``paths`` are files, folders or globs, local (relative to the definition's ``root``), ``s3://``
    or ``gs://``. ``columns`` maps our name to theirs. ``explode`` names their parallel list
    columns: one row per list element. ``constants`` adds columns that hold one value. How CSV text
    is written stands beside them (``TextRules``).
    """

    paths: tuple[str, ...] = Field(min_length=1)
    format: Literal["auto", "parquet", "csv"] = "auto"
    columns: dict[str, str]
    constants: dict[str, str | int | float | bool] = Field(default={})
    explode: tuple[str, ...] = ()
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"


class Label(Part):
    """How a 0/1 label is read: ``column`` as it is, ``column >= at_least``, or ``item in column``."""

    column: str
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    contains_item: bool = False


class InteractionSource(TableSource):
    """What is predicted: needs user_id, item_id, event_time; request_id when the log has one."""

    labels: dict[str, Label]


class BehaviorSource(TableSource):
    """What sequences are made of: needs user_id, item_id, event_time, action (column or constant).

    ``exact_time: false`` says that the order is true but ``event_time`` is only an upper bound; the
    events keep their list order and their time features are masked, not invented.
    """

    exact_time: bool = True


class DerivedBehaviors(Part):
    """Behaviours read off the interactions themselves.

    ``actions`` maps a task to an action's name, weakest first: an interaction becomes one event
    with the last action whose label is 1. ``otherwise`` names the action of an interaction with no
    positive label; without it such interactions make no event.
    """

    actions: dict[str, str]
    otherwise: str | None = None


class Categorical(Part):
    """A field whose values become ids. ``vocabulary`` shares the ids of another field."""

    name: str
    min_count: int = Field(default=1, ge=1)
    oov_buckets: int = Field(default=1, ge=1)
    vocabulary: str | None = None


class Numeric(Part):
    """A field that becomes a scaled float and a quantile bucket."""

    name: str
    scale: Literal["log", "linear"] = "log"
    buckets: int = Field(default=16, ge=2)


class Sequences(Part):
    """The two behaviour sequences of a user; the most recent events are kept.

    ``realtime`` holds the visible events of the window that ends at the interaction (``day``: since
    the last UTC midnight; ``last``: the ``realtime_length`` most recent ones, whatever their time),
    ``global`` those before it; with ``overlap`` all visible ones, those of ``realtime`` too.
    ``columns`` are item attributes carried beside the item id. An event is visible to an
    interaction at t when ``event_time + availability_delay < t``.
    """

    columns: tuple[str, ...] = ()
    global_length: int = Field(default=50, ge=1, le=10_000)
    realtime_length: int = Field(default=20, ge=1, le=10_000)
    realtime_window: RealtimeWindow = "day"
    # Left out when false: definitions that do not say it keep the digests and names they had.
    overlap: bool = Field(default=False, exclude_if=lambda value: not value)
    availability_delay: Seconds = 0


class Counter(Part):
    """Counts of past interactions that share ``key``: all (``impression``) and positive per task."""

    key: str
    events: tuple[str, ...] = ()
    windows: tuple[str, ...] = ("1h", "1d", "ever")

    @property
    def prefix(self) -> str:
        return self.key.removesuffix("_id")

    def column(self, event: str, window: str) -> str:
        """Name of the counter's column, e.g. ``author_click_1d``."""
        return f"{self.prefix}_{event}_{window}"

    @staticmethod
    def window_seconds(window: str) -> int | None:
        """Length of a window in seconds; None for ``ever``."""
        found = None if window == "ever" else duration(window)
        return found if isinstance(found, int) else None


class DatasetDefinition(Part):
    """A whole data set; see the module's text and docs/user-guide.md."""

    name: Annotated[str, AfterValidator(file_name)]
    description: str = ""
    root: str = "."
    interactions: tuple[InteractionSource, ...] = Field(min_length=1)
    behaviors: tuple[BehaviorSource, ...] = ()
    derived_behaviors: DerivedBehaviors | None = None
    users: tuple[TableSource, ...] = ()
    items: tuple[TableSource, ...] = ()
    item_created_at: str | None = None
    tasks: tuple[str, ...] = Field(min_length=1)
    categorical: tuple[Categorical, ...] = Field(min_length=1)
    numeric: tuple[Numeric, ...] = ()
    time_fields: tuple[Literal["hour", "weekday"], ...] = ("hour", "weekday")
    sequences: Sequences = Sequences()
    counters: tuple[Counter, ...] = ()
    slices: tuple[str, ...] = ()
    split: Split

    # ---- where a field comes from -------------------------------------------------------------

    @staticmethod
    def _columns(sources: tuple[TableSource, ...]) -> set[str]:
        return {name for s in sources for name in (*s.columns, *s.constants)}

    @property
    def user_columns(self) -> tuple[str, ...]:
        """Declared attributes of users, in definition order."""
        return self._declared(self._columns(self.users) - {"user_id", "valid_from"})

    @property
    def item_columns(self) -> tuple[str, ...]:
        """Declared attributes of items (fields, sequence columns, counter keys), in order."""
        known = self._columns(self.items) - {"item_id", "valid_from"}
        extra = [*self.sequences.columns, *(c.key for c in self.counters)]
        declared = self._declared(known)
        return tuple(dict.fromkeys([*declared, *(name for name in extra if name in known)]))

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Declared columns of the interaction itself, in definition order, without time fields."""
        known = self._columns(self.interactions) - {
            "request_id",
            "user_id",
            "item_id",
            "event_time",
        }
        return self._declared(known)

    def _declared(self, known: set[str]) -> tuple[str, ...]:
        names = [*(c.name for c in self.categorical), *(n.name for n in self.numeric)]
        return tuple(name for name in names if name in known)

    @property
    def has_item_age(self) -> bool:
        """True when ``item_age_days`` is a feature (``item_created_at`` names a column of items)."""
        return self.item_created_at is not None

    @property
    def counter_columns(self) -> tuple[str, ...]:
        """Names of all counter columns, in order."""
        return tuple(
            counter.column(event, window)
            for counter in self.counters
            for event in self.counter_events(counter)
            for window in counter.windows
        )

    def counter_events(self, counter: Counter) -> tuple[str, ...]:
        """The counted events: as declared, or impressions and one per task."""
        return counter.events or ("impression", *self.tasks)

    def side_of(self, name: str) -> Literal["user", "item", "context"]:
        """Which side of a request a raw field belongs to."""
        if name == "user_id" or name in self.user_columns:
            return "user"
        if name == "item_id" or name == "item_age_days" or name in self.item_columns:
            return "item"
        for counter in self.counters:
            if name in {
                counter.column(e, w) for e in self.counter_events(counter) for w in counter.windows
            }:
                return "user" if counter.key in ("user_id", *self.user_columns) else "item"
        return "context"

    @model_validator(mode="after")
    def _consistent(self) -> DatasetDefinition:
        from hemix.features.consistency import check

        check(self)
        return self

    # ---- reading ------------------------------------------------------------------------------

    @staticmethod
    def load(
        name_or_path: str | Path, overrides: dict[str, Any] | None = None
    ) -> DatasetDefinition:
        """Read a shipped definition by name (``kuairand``) or any YAML file by path.

        ``overrides`` are dotted keys (``split.train.end``) and their values. Paths in the file are
        relative to ``root``, and ``root`` is relative to the file; ``$VARIABLES`` are expanded.

        Raises:
            DefinitionError: no such file, not YAML, an unknown key or a value that does not fit;
                tells every fault with its line and key.
        """
        path = _path_of(name_or_path)
        document = read(path, "a definition", may_be_empty=False, hint=HINT)
        value, lines = document.value, dict(document.lines)
        for key, override in (overrides or {}).items():
            _assign(value, key, override, str(path))
            lines[tuple(int(part) if part.isdigit() else part for part in key.split("."))] = 0
        if isinstance(value.get("root", "."), str):
            value["root"] = _resolve_root(value.get("root", "."), path.parent)
        return _checked(replace(document, lines=lines))

    @staticmethod
    def parse(value: dict[str, Any] | str, where: str = "definition") -> DatasetDefinition:
        """Check a definition given as a mapping or JSON text.

        Raises:
            DefinitionError: tells every fault: the key and what is wrong with it.
        """
        if isinstance(value, str):
            return _checked(
                parse(value, "a definition", where=where, may_be_empty=False, hint=HINT)
            )
        return _checked(Document(value=value, where=where))

    def to_json(self) -> str:
        """The definition as JSON text that no pipeline takes for a template; ``parse`` reads it."""
        return without_placeholders(self.model_dump_json())

    def digest(self, *, without_split: bool = False) -> str:
        """A short hash of the content; without the split it names the event data alone."""
        value = json.loads(self.to_json())
        if without_split:
            del value["split"]
        return digest_of(value)


def _path_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix or path.is_file():
        return path
    names = sorted(p.parent.name for p in EXAMPLES.glob("*/definition.yaml"))
    if str(name_or_path) not in names:
        raise DefinitionError(
            f"No data set is called {str(name_or_path)!r}.",
            hint=f"Shipped: {', '.join(names)}; for your own log pass --definition FILE.",
        )
    return EXAMPLES / str(name_or_path) / "definition.yaml"


def _checked(document: Document) -> DatasetDefinition:
    return checked(DatasetDefinition, document, hint=HINT, stand_ins={"split": NO_SPLIT})


def _resolve_root(root: str, folder: Path) -> str:
    if "://" not in root and (folder / root).exists():
        return str((folder / root).resolve())  # a name as it is, whatever signs it holds
    root = os.path.expanduser(os.path.expandvars(root))
    return root if "://" in root or os.path.isabs(root) else str((folder / root).resolve())


def _assign(value: dict[str, Any], key: str, new: Any, where: str) -> None:
    """Set a dotted key; a number among its parts is a place in a list."""
    *parents, last = (int(part) if part.isdigit() else part for part in key.split("."))
    here: Any = value
    for depth, part in enumerate((*parents, last)):
        inside = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if not inside and not isinstance(here, dict):
            what = key_of((*parents, last)[:depth])
            raise DefinitionError(f"{where}: cannot set {key!r}: {what!r} has no {str(part)!r}.")
        part = part if inside else str(part)
        if depth == len(parents):
            here[part] = new
        else:
            here = here[part] if inside else here.setdefault(part, {})
