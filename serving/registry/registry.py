"""The registry: whole model versions, and one small file that says which of them serve whom.

``versions/<version>/`` are model version folders, never changed once they are there; ``state.json``
says the rest. A registry is a folder (:class:`FolderRegistry`: a file lock, renames) or lies on S3
(:class:`hemix.serving.registry.s3.S3Registry`: conditional writes); :mod:`hemix.serving.registry.opening`
picks by the location. Readers need no lock.
"""

from __future__ import annotations

import abc
import contextlib
import re
import shutil
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from hemix.errors import ModelVersionError, RegistryError
from hemix.files import atomic_file, atomic_folder, locked, read_json
from hemix.serving.registry import transitions as moves
from hemix.serving.registry.signing import signed
from hemix.serving.registry.transitions import (
    MAX_STATE_BYTES,
    Note,
    RegistryState,
    Running,
    parse_state,
    state_bytes,
    summary_of,
)
from hemix.storage import join
from hemix.verdict import Verdict

if TYPE_CHECKING:
    from hemix.models.versions.version import Manifest

STATE = "state.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Registry(abc.ABC):
    """What every registry does, wherever it lies.

    Each move is idempotent: done again it changes nothing, the history neither. ``who`` (default:
    the user of this process), ``why`` and ``verdict`` are kept in the history.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    # ---- reading --------------------------------------------------------------------------------

    @abc.abstractmethod
    def exists(self) -> bool:
        """Whether a version was ever added."""

    @abc.abstractmethod
    def state(self) -> RegistryState:
        """The state now, empty when there is no registry; RegistryError when it cannot be used."""

    @abc.abstractmethod
    def folder(self, version: str) -> Path:
        """A local folder with the whole version; RegistryError when the registry lacks it, and
        ModelVersionError when what lies there is another version."""

    def files(self, version: str) -> Hashable:
        """Something that changes when a version's files do; None where looking would cost too much."""
        return None

    @abc.abstractmethod
    def manifest(self, version: str) -> Manifest:
        """A version's manifest, nothing verified but its name; ModelVersionError when it cannot be
        read or is that of another version."""

    def location_of(self, version: str) -> str:
        """Where the version's folder lies: what a predictor elsewhere is started with."""
        return join(self.location, "versions", version)

    # ---- moves ----------------------------------------------------------------------------------

    def add(
        self,
        model: Path,
        *,
        share: float | None,
        why: str = "",
        verdict: Verdict | str | None = None,
        who: str = "",
        running: Running = "replace",
        judged: str | None = None,
    ) -> RegistryState:
        """Copy a model version in. The first becomes champion, a later one challenger.

        Adding the same version again
        changes nothing.

        Args:
            model: model version folder.
            share: share of users of a later version, ``(0, 1)``; None keeps it as a candidate.
            why: reason, for the history.
            verdict: of the model gate, for the history.
            who: acted, for the history.
            running: what becomes of an experiment that runs already: it is replaced (its version is
                retired), goes on (wait), or goes on and this version is the next (queue).
            judged: the champion that the gates compared it with, empty for none; when another is
                champion by now it stays a candidate. None: not said.

        Raises:
            ModelVersionError: ``model`` is not what its manifest says; the message names the file.
            RegistryError: another model of that name is there, or ``share`` is out of range.
        """
        from hemix.models.versions.version import verify

        version = check_name(verify(model).version)
        note = Note(who=who, why=why, verdict=summary_of(verdict))
        with signed(model) as folder:
            return self._add(
                folder,
                version,
                lambda s: moves.add(
                    s, version, share=share, note=note, running=running, judged=judged
                ),
            )

    def challenge(
        self, version: str, *, share: float, why: str = "", who: str = "", verdict: str = ""
    ) -> RegistryState:
        """Put a version on trial, or change its share.

        Args:
            version: its name.
            share: share of users, ``(0, 1)``.
            why: reason, for the history.
            who: acted, for the history.
            verdict: summary of the model gate's.
        """
        self.require_there(version)
        note = Note(who=who, why=why, verdict=verdict)
        return self.move(lambda state: moves.challenge(state, version, share=share, note=note))

    def promote(
        self, version: str, *, why: str = "", who: str = "", verdict: str = ""
    ) -> RegistryState:
        """Challenger -> champion; the champion before it is retired."""
        self.require_there(version)
        note = Note(who=who, why=why, verdict=verdict)
        return self.move(lambda state: moves.promote(state, version, note=note))

    def rollback(
        self, version: str, *, why: str = "", who: str = "", verdict: str = ""
    ) -> RegistryState:
        """Take a version out of service; a champion yields to the one before it."""
        note = Note(who=who, why=why, verdict=verdict)
        return self.move(lambda state: moves.rollback(state, version, note=note))

    def retire(
        self, version: str, *, why: str = "", who: str = "", verdict: str = ""
    ) -> RegistryState:
        """Shelve a candidate or challenger."""
        note = Note(who=who, why=why, verdict=verdict)
        return self.move(lambda state: moves.retire(state, version, note=note))

    def move(self, move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        """Replace the state by ``move(state)``, a step of :mod:`hemix.serving.registry.transitions`.

        Raises:
            RegistryError: there is no registry, or the state does not allow the move.
        """
        if not self.exists():
            raise RegistryError(
                f"{self.location} is not a registry: it holds no {STATE}.",
                hint="Deploy a version first (hemix run), or pass --models DIR.",
            )
        return self._change(move)

    def require_there(self, version: str) -> None:
        """Before users get a version: what lies under its name is it (ModelVersionError)."""
        if version in self.state().versions:
            self.manifest(version)

    @abc.abstractmethod
    def _change(self, move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        """Replace the state by ``move(state)``; no concurrent change is lost."""

    @abc.abstractmethod
    def _add(
        self, model: Path, version: str, move: Callable[[RegistryState], RegistryState]
    ) -> RegistryState:
        """The version's files first, whole; then the state."""


class FolderRegistry(Registry):
    """The registry in folder ``root``; the folder is made by the first :meth:`add`."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.root = root

    @property
    def state_path(self) -> Path:
        return self.root / STATE

    def exists(self) -> bool:
        return self.state_path.exists()

    def state(self) -> RegistryState:
        try:
            if self.state_path.stat().st_size > MAX_STATE_BYTES:
                raise RegistryError(
                    f"{self.state_path}: is larger than {MAX_STATE_BYTES} bytes, no registry state.",
                    hint="Restore it from a copy.",
                )
            data = self.state_path.read_bytes()
        except FileNotFoundError:
            data = None
        except OSError as error:
            raise RegistryError(
                f"{self.state_path}: cannot read ({error.strerror}).",
                hint="Restore it from a copy.",
            ) from error
        return parse_state(data, str(self.state_path))

    def files(self, version: str) -> Hashable:
        folder = self.root / "versions" / version
        return tuple(
            (str(path.relative_to(folder)), (stat := path.stat()).st_mtime_ns, stat.st_size)
            for path in sorted(folder.rglob("*"))
        )

    def folder(self, version: str) -> Path:
        self.state().state_of(version)
        self.manifest(version)
        return self.root / "versions" / version

    def manifest(self, version: str) -> Manifest:
        from hemix.models.versions.version import read_manifest

        check_name(version)
        folder = self.root / "versions" / version
        return require_named(read_manifest(folder), version, str(folder))

    def _change(self, move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        with self._locked():
            before = self.state()
            after = move(before)
            if after != before:
                self._write(after)
            return after

    def _add(
        self, model: Path, version: str, move: Callable[[RegistryState], RegistryState]
    ) -> RegistryState:
        from hemix.models.versions.version import verify

        with self._locked():
            state = self.state()
            folder = self.root / "versions" / version
            if version in state.versions:
                require_same(version, read_json(model / "manifest.json")["files"], _files(folder))
                return state
            after = move(state)
            self._sweep()
            with atomic_folder(folder, durable=True) as temporary:
                shutil.copytree(model, temporary, dirs_exist_ok=True)
                verify(temporary)
            self._write(after)
            return after

    def _write(self, state: RegistryState) -> None:
        with atomic_file(self.state_path) as temporary:
            temporary.write_bytes(state_bytes(state))

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        hint = "Give this user write permission on the registry's folder."
        return locked(self.root / ".lock", hint=hint)

    def _sweep(self) -> None:
        """Remove what a killed add left behind: hidden names that nothing refers to."""
        for leftover in (self.root / "versions").glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)


def check_name(version: str) -> str:
    """The name, when it can be that of a folder; RegistryError otherwise."""
    if not _NAME.fullmatch(version):
        raise RegistryError(
            f"{version!r} cannot be the name of a version: letters, digits, '.', '_' and '-', at most 128."
        )
    return version


def require_named(manifest: Manifest, version: str, where: str) -> Manifest:
    """The manifest, when it is that of ``version``; ModelVersionError otherwise."""
    if manifest.version != version:
        raise ModelVersionError(
            f"{where}: holds the version {manifest.version!r} under the name {version!r}.",
            hint="Restore the folder from a copy, or add the version under its own name "
            "(hemix models add).",
        )
    return manifest


def require_same(version: str, new: dict[str, str], old: dict[str, str]) -> None:
    """The same name must mean the same weights and transform (not the same minute of birth)."""
    if new != old:
        names = sorted(n for n in {*new, *old} if new.get(n) != old.get(n))
        raise RegistryError(
            f"{version} is already in the registry with other content: {', '.join(names)}.",
            hint="A version never changes: train under another name, or remove the registry.",
        )


def _files(folder: Path) -> dict[str, str]:
    return dict(read_json(folder / "manifest.json").get("files") or {})
