"""A data set definition: one YAML file that says what a log's columns mean.

A definition names the sources of four tables (interactions, behaviors, users, items), the tasks,
the fields, the sequences, the counters and the split times. Everything downstream is generated
from it; a user's own log needs a definition and no code. Unknown keys are refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from hemix.errors import DefinitionError
from hemix.features.consistency import check
from hemix.features.declared_sources import (
    BehaviorSource,
    DerivedBehaviors,
    InteractionSource,
    Sequences,
    TableSource,
)
from hemix.features.fields import Categorical, Numeric
from hemix.features.parts import Counter, Match
from hemix.features.rates.rate import Rate
from hemix.features.split import Part, Split
from hemix.features.within_request import WithinRequest
from hemix.files import digest_of
from hemix.texts.documents import ENDINGS, Document, checked, key_of, parse, read
from hemix.texts.meant import did_you_mean, meant, meant_files
from hemix.texts.naming import file_name
from hemix.texts.placeholders import without_placeholders

HINT = "See docs/user-guide.md for every key."
NO_FILE = "hemix init LOG.csv ... drafts one from a log's files; docs/user-guide.md shows how."
NO_SPLIT = {
    "train": {"start": "1970-01-01", "end": "1970-01-02"},
    "test": {"start": "1970-01-02", "end": "1970-01-03"},
}
EXAMPLES = Path(__file__).parent.parent / "examples"


class DatasetDefinition(Part):
    """A whole data set; see the module's text and docs/user-guide.md."""

    name: Annotated[str, AfterValidator(file_name)]
    """Name of the data set; part of its versions' names."""
    description: str = ""
    """For people."""
    root: str = "."
    """Folder that local paths are relative to; itself relative to this file."""
    interactions: tuple[InteractionSource, ...] = Field(min_length=1)
    """What is predicted."""
    behaviors: tuple[BehaviorSource, ...] = ()
    """What sequences are made of."""
    derived_behaviors: DerivedBehaviors | None = None
    """Behaviours read off the interactions, beside or instead of `behaviors`."""
    users: tuple[TableSource, ...] = ()
    """Attributes of users."""
    items: tuple[TableSource, ...] = ()
    """Attributes of items."""
    item_created_at: str | None = None
    """Item attribute that holds when the item was created; it gives the number item_age_days."""
    # Left out at its default: definitions that do not say it keep the digests and names they had.
    repeats_at_most: float = Field(
        default=0.2, ge=0, le=1, allow_inf_nan=False, exclude_if=lambda value: value == 0.2
    )
    """Share of interactions that may be merged with another of the same request, user, item and time
    (their greatest labels count); beyond it ingest refuses the log."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """What is learnt and served, the most important first."""
    categorical: tuple[Categorical, ...] = Field(min_length=1)
    """Fields that become ids."""
    numeric: tuple[Numeric, ...] = ()
    """Fields that become numbers."""
    time_fields: tuple[Literal["hour", "weekday"], ...] = ("hour", "weekday")
    """Fields made from the time of the request, UTC."""
    sequences: Sequences = Sequences()
    """The user's histories."""
    counters: tuple[Counter, ...] = ()
    """Counts of past events, as features."""
    rates: tuple[Rate, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Rates of events, smoothed towards those of wider keys, as features."""
    matches: tuple[Match, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Matches between the candidate and the sequences, as features."""
    within_request: tuple[WithinRequest, ...] = Field(default=(), exclude_if=lambda made: not made)
    """How each candidate stands among those of its request, as features."""
    slices: tuple[str, ...] = ()
    """Fields by whose values metrics are also given."""
    split: Split
    """Times of the training, validation and test windows."""

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
        keys = [key for counter in self.counters for key in counter.keys]
        extra = [*self.sequences.columns, *keys]
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

    @cached_property
    def candidate_columns(self) -> tuple[str, ...]:
        """Those of :attr:`context_columns` of which each candidate of a request has its own value."""
        fields: tuple[Categorical | Numeric, ...] = (*self.categorical, *self.numeric)
        own = {f.name for f in fields if f.per == "candidate"}
        return tuple(name for name in self.context_columns if name in own)

    @cached_property
    def request_columns(self) -> tuple[str, ...]:
        """Those of :attr:`context_columns` that a request has one value of."""
        own = set(self.candidate_columns)
        return tuple(name for name in self.context_columns if name not in own)

    @cached_property
    def served_as(self) -> dict[str, int | str | float]:
        """Fields that are served at one value whatever a request sends, and that value."""
        fields: tuple[Categorical | Numeric, ...] = (*self.categorical, *self.numeric)
        return {f.name: f.serve_as for f in fields if f.serve_as is not None}

    @cached_property
    def within_request_columns(self) -> tuple[str, ...]:
        """Names of all columns that tell how a candidate stands in its request, in order."""
        return tuple(name for made in self.within_request for name in made.columns)

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
        return tuple(name for counter in self.counters for name in counter.columns(self.tasks))

    @property
    def match_columns(self) -> tuple[str, ...]:
        """Names of all columns of matches between candidate and sequences, in order."""
        return tuple(name for match in self.matches for name in match.columns)

    def counter_events(self, counter: Counter) -> tuple[str, ...]:
        """The counted events: as declared, or impressions and one per task."""
        return counter.event_names(self.tasks)

    def side_of(self, name: str) -> Literal["user", "item", "context"]:
        """Which side of a request a raw field belongs to; ``item``: each candidate has its own."""
        if name == "user_id" or name in self.user_columns:
            return "user"
        if name == "item_id" or name in self.item_columns:
            return "item"
        if name == "item_age_days" and self.has_item_age:
            return "item"
        if name in self.match_columns:
            return "item"
        if name in self.candidate_columns or name in self.within_request_columns:
            return "item"
        for counter in self.counters:
            if name in counter.columns(self.tasks):
                return self.side_of_counter(counter)
        return "context"

    def side_of_counter(self, counter: Counter) -> Literal["user", "item", "context"]:
        """Whose its columns are: of a pair, those of the pair's other half."""
        if counter.is_pair:
            return self.side_of(counter.keys[1])
        return "user" if counter.by_user else "item"

    @model_validator(mode="after")
    def _consistent(self) -> DatasetDefinition:
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
        document = read(
            path, "a definition", may_be_empty=False, hint=HINT if path.exists() else NO_FILE
        )
        value, lines = document.value, dict(document.lines)
        for key, override in (overrides or {}).items():
            _assign(value, key, override, str(path))
            place = tuple(int(part) if part.isdigit() else part for part in key.split("."))
            for depth in range(1, len(place)):
                lines.setdefault(place[:depth], 0)
            lines[place] = 0
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

    @staticmethod
    def lines(name_or_path: str | Path) -> dict[str, int]:
        """Each key of a definition's file, as errors write it, and its line; errors as those of :meth:`load`."""
        found = read(_path_of(name_or_path), "a definition", hint=HINT).lines
        return {key_of(place): line for place, line in found.items() if place}

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
        near = meant(str(name_or_path), names) or meant_files(Path(f"{path}.yaml"), ENDINGS)
        raise DefinitionError(
            f"No data set is called {str(name_or_path)!r}{did_you_mean(near)}",
            hint=f"Shipped: {', '.join(names)}; for your own log give the path of its YAML file.",
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
