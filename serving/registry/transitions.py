"""What the registry knows: who serves, with which share, and how it came to that. Pure moves only.

A version goes candidate -> challenger -> champion -> retired. A rolled-back champion hands over to
the one before it. Every move returns a new state; a move that changes nothing returns the same
object, so that each can be repeated.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from pydantic import Field, model_validator

from hemix.errors import RegistryError
from hemix.files import digest_of
from hemix.texts.frozen import Frozen, parse
from hemix.verdict import Verdict

MAX_STATE_BYTES = 16_000_000
"""A hundred thousand moves; what is larger was not written by a registry."""

VersionState = Literal["candidate", "challenger", "champion", "retired"]
Running = Literal["wait", "replace", "queue"]
"""What becomes of an experiment that runs when a new version comes: ``wait``, it goes on and the new
version stays a candidate; ``replace``, it ends; ``queue``, it goes on and the new version is the next."""
RUNNING: tuple[Running, ...] = get_args(Running)


class Challenger(Frozen):
    """A version on trial and the share of users ``[0, 1)`` that it serves."""

    version: str
    share: float = Field(ge=0.0, lt=1.0)


class Event(Frozen):
    """One line of the history: who did what to which version, when, why, on which verdict."""

    when: datetime
    who: str
    what: Literal["add", "challenge", "promote", "roll back", "retire"]
    version: str
    why: str = ""
    verdict: str = ""


class RegistryState(Frozen):
    """The whole of ``state.json``.

    ``champions`` is the line of champions, the reigning one last: what roll back goes back along.
    ``salt`` cuts the users; a new experiment gets a new one, so that each starts on a fresh cut.
    ``queue`` is whose experiment begins when the one that runs has ended: one version at most.
    """

    champion: str | None = None
    challengers: tuple[Challenger, ...] = ()
    salt: str = ""
    champions: tuple[str, ...] = ()
    versions: dict[str, VersionState] = Field(default={})
    history: tuple[Event, ...] = ()
    queue: tuple[Challenger, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> RegistryState:
        names = [challenger.version for challenger in self.challengers]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"challenger {min(twice)} is given twice")
        if self.champion in names:
            raise ValueError(f"{self.champion} is champion and challenger at once")
        if names and self.champion is None:
            raise ValueError("there are challengers and no champion")
        if sum(challenger.share for challenger in self.challengers) > 1.0 + 1e-9:
            raise ValueError("the challengers' shares sum to more than 1")
        for name in (self.champion, *names, *(one.version for one in self.queue)):
            if name is not None and name not in self.versions:
                raise ValueError(f"{name} serves and is not among the versions")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """``version -> share of users``, the champion first; sums to 1 when there is a champion."""
        if self.champion is None:
            return {}
        taken = sum(challenger.share for challenger in self.challengers)
        return {
            self.champion: 1.0 - taken,
            **{challenger.version: challenger.share for challenger in self.challengers},
        }

    def state_of(self, version: str) -> VersionState:
        """The state of a version; RegistryError when the registry does not hold it."""
        if version not in self.versions:
            known = ", ".join(self.versions) or "none yet"
            raise RegistryError(
                f"The registry holds no version {version!r}.", hint=f"Versions: {known}."
            )
        return self.versions[version]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What the history keeps of a move besides its time: ``who`` (this process's user when empty),
    ``why``, and the ``verdict`` (of a gate or an experiment) that it rests on."""

    who: str = ""
    why: str = ""
    verdict: str = ""


NO_NOTE = Note()


def add(
    state: RegistryState,
    version: str,
    *,
    share: float | None,
    note: Note = NO_NOTE,
    running: Running = "replace",
    judged: str | None = None,
) -> RegistryState:
    """The first version becomes champion; a later one challenger (``share``) or candidate (None).

    One that was judged against another version than the champion of now stays a candidate.

    Args:
        state: before.
        version: name of the version.
        share: share of users ``[0, 1)`` of a challenger; None: a candidate.
        note: for the history.
        running: what becomes of an experiment that runs already.
        judged: the champion that the gates compared it with, empty for none; None: not said.
    """
    if version in state.versions:
        return state
    if share is not None:
        check_share(share)
    if outdated(state, judged):
        share = None
    state = _changed(state, versions={**state.versions, version: "candidate"})
    state = _noted(state, "add", version, note)
    if state.champion is None:
        return _crowned(state, version)
    if share is None:
        return state
    if running != "replace" and state.challengers:
        one = Challenger(version=version, share=share)
        return _changed(state, queue=(one,)) if running == "queue" else state
    return _challenging(state, version, share)


def outdated(state: RegistryState, judged: str | None) -> bool:
    """Whether a version was compared with another champion (empty: none) than the one of now."""
    return judged is not None and state.champion is not None and judged != state.champion


def next_in_line(state: RegistryState, *, note: Note = NO_NOTE) -> RegistryState:
    """Begin the experiment that waits, when none runs; otherwise nothing changes."""
    if state.challengers or not state.queue:
        return state
    (one,) = state.queue
    return challenge(state, one.version, share=one.share, note=note)


def running_told(state: RegistryState) -> str:
    """The experiment that runs, for people; empty when none does."""
    if not state.challengers:
        return ""
    told = []
    for one in state.challengers:
        moves = ("add", "challenge")
        since = [e.when for e in state.history if e.version == one.version and e.what in moves]
        begun = f" since {since[0]:%Y-%m-%d %H:%M}" if since else ""
        told.append(f"{one.version} is on trial{begun} with {one.share:.0%} of the users")
    return ", ".join(told)


def challenge(
    state: RegistryState, version: str, *, share: float, note: Note = NO_NOTE
) -> RegistryState:
    """Put a version on trial, or give the one on trial another share; it replaces the one before."""
    check_share(share)
    if state.state_of(version) == "champion":
        raise RegistryError(
            f"{version} is the champion: it cannot challenge itself.",
            hint="Roll it back first, or put another version on trial.",
        )
    if Challenger(version=version, share=share) in state.challengers:
        return state
    return _noted(_challenging(state, version, share), "challenge", version, note)


def promote(state: RegistryState, version: str, *, note: Note = NO_NOTE) -> RegistryState:
    """Challenger -> champion; the champion before it is retired."""
    now = state.state_of(version)
    if now == "champion":
        return state
    if now != "challenger":
        raise RegistryError(
            f"{version} is {_a(now)}: only a challenger can be promoted.",
            hint=f"Put it on trial first: hemix models challenge {version} --share 0.1.",
        )
    return _noted(_crowned(state, version), "promote", version, note)


def rollback(state: RegistryState, version: str, *, note: Note = NO_NOTE) -> RegistryState:
    """Take a version out of service: a challenger retires, a champion yields to the one before."""
    now = state.state_of(version)
    if now == "retired":
        return state
    if now == "candidate":
        raise RegistryError(
            f"{version} is a candidate: it serves no one.",
            hint=f"To shelve it: hemix models retire {version}.",
        )
    if now == "challenger":
        return _noted(_retired(state, version), "roll back", version, note)
    if len(state.champions) < 2:
        raise RegistryError(
            f"{version} is the first champion: there is none before it to go back to.",
            hint="Deploy another version and promote it.",
        )
    *_, before, _ = state.champions
    state = _changed(
        _retired(state, before),
        champion=before,
        champions=state.champions[:-1],
        versions={**state.versions, version: "retired", before: "champion"},
    )
    return _noted(state, "roll back", version, note)


def retire(state: RegistryState, version: str, *, note: Note = NO_NOTE) -> RegistryState:
    """Shelve a candidate or a challenger."""
    now = state.state_of(version)
    if now == "retired":
        return state
    if now == "champion":
        raise RegistryError(
            f"{version} is the champion: retiring it would leave no one to serve.",
            hint=f"Promote another version, or go back: hemix models rollback {version}.",
        )
    return _noted(_retired(state, version), "retire", version, note)


def needed(state: RegistryState, *, champions: int = 2) -> set[str]:
    """Versions that serve someone, wait for their users, or are what a rollback goes back to.

    ``champions``: how many of the line of champions, the reigning one among them.
    """
    line = state.champions[-max(1, champions) :]
    trials = (*state.challengers, *state.queue)
    return {*line, *(one.version for one in trials), *([state.champion] if state.champion else ())}


def last_moved(state: RegistryState) -> dict[str, datetime]:
    """Version -> when it was moved last."""
    return {event.version: event.when for event in state.history}


def forget(
    state: RegistryState, versions: Iterable[str], *, champions: int = 2, note: Note = NO_NOTE
) -> RegistryState:
    """Drop versions whose files go; those that are :func:`needed` stay. The history stays whole."""
    keep = needed(state, champions=champions)
    gone = sorted({v for v in versions if v in state.versions} - keep)
    for version in gone:
        state = _noted(state, "retire", version, note)
    return _changed(
        state,
        champions=tuple(v for v in state.champions if v not in gone),
        versions={name: now for name, now in state.versions.items() if name not in gone},
    )


def _challenging(state: RegistryState, version: str, share: float) -> RegistryState:
    same = any(challenger.version == version for challenger in state.challengers)
    for challenger in state.challengers:
        state = _retired(state, challenger.version)
    return _changed(
        state,
        challengers=(Challenger(version=version, share=share),),
        queue=tuple(one for one in state.queue if one.version != version),
        versions={**state.versions, version: "challenger"},
        salt=state.salt if same else digest_of({"experiment": version}),
    )


def _crowned(state: RegistryState, version: str) -> RegistryState:
    versions: dict[str, VersionState] = {**state.versions, version: "champion"}
    if state.champion is not None:
        versions[state.champion] = "retired"
    return _changed(
        state,
        champion=version,
        champions=(*state.champions, version),
        challengers=tuple(c for c in state.challengers if c.version != version),
        versions=versions,
        salt=state.salt or digest_of({"experiment": version}),
    )


def _retired(state: RegistryState, version: str) -> RegistryState:
    return _changed(
        state,
        challengers=tuple(c for c in state.challengers if c.version != version),
        queue=tuple(one for one in state.queue if one.version != version),
        versions={**state.versions, version: "retired"},
    )


def _changed(state: RegistryState, **fields: object) -> RegistryState:
    return RegistryState.model_validate({**dict(state), **fields})


def _noted(state: RegistryState, what: str, version: str, note: Note = NO_NOTE) -> RegistryState:
    event = Event.model_validate(
        {
            "when": datetime.now(UTC),
            "who": _writable(note.who or _who()),
            "what": what,
            "version": version,
            "why": _writable(note.why),
            "verdict": _writable(note.verdict),
        }
    )
    return _changed(state, history=(*state.history, event))


def _writable(text: str) -> str:
    """A shell's bytes that are no UTF-8 reach us as lone surrogates, which no file takes."""
    return text.encode(errors="backslashreplace").decode()


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def summary_of(verdict: Verdict | str | None) -> str:
    """A gate's verdict in one line of the history; a text stays as it is."""
    if not isinstance(verdict, Verdict):
        return verdict or ""
    passed = sum(check.passed for check in verdict.checks)
    return f"{verdict.gate}: {passed} of {len(verdict.checks)} checks passed"


def running_policy(text: str) -> Running:
    """``wait``, ``replace`` or ``queue``; RegistryError for anything else."""
    for known in RUNNING:
        if text == known:
            return known
    raise RegistryError(
        f"running_experiment {text!r} is not one of {', '.join(RUNNING)}.",
        hint="wait: an experiment that runs goes on, and the new version stays a candidate.",
    )


def check_share(share: float) -> None:
    """Raises RegistryError when a challenger cannot have ``share`` of the users."""
    if not 0.0 <= share < 1.0:
        raise RegistryError(
            f"share {share} must be at least 0 and below 1.",
            hint="The champion keeps the rest; to give a version everything, promote it.",
        )


def _a(state: str) -> str:
    return state if state == "retired" else f"a {state}"


def parse_state(data: bytes | None, where: str) -> RegistryState:
    """The state in ``state.json``; no file is an empty registry.

    Raises:
        RegistryError: the file is not a registry state.
    """
    if data is None:
        return RegistryState()
    return parse(
        RegistryState,
        data,
        where=where,
        what="a registry state",
        hint="Restore it from a copy.",
        error=RegistryError,
    )


def state_bytes(state: RegistryState) -> bytes:
    """What ``state.json`` holds."""
    unsaid = set() if state.queue else {"queue"}  # what older endpoints do not know is not said
    return (state.model_dump_json(indent=2, exclude=unsaid) + "\n").encode()
