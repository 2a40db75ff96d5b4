"""The registry: a folder of whole model versions and one small file that says who serves.

``versions/<version>/`` are model version folders, never changed once they are there;
``state.json`` is replaced by rename. Writers take a file lock, readers need none.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hemix.errors import ModelVersionError, RegistryError, StorageError
from hemix.files import atomic_file, atomic_folder, read_json
from hemix.verdict import Verdict
from serving import state as moves
from serving.state import RegistryState, read_state

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")


class Registry:
    """The registry in folder ``root``; the folder is made by the first :meth:`add`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def state_path(self) -> Path:
        return self.root / "state.json"

    def state(self) -> RegistryState:
        """The state now; RegistryError when ``state.json`` cannot be used."""
        return read_state(self.state_path)

    def folder(self, version: str) -> Path:
        """Folder of a version that the registry holds; RegistryError when it does not."""
        self.state().state_of(version)
        return self.root / "versions" / version

    def add(
        self,
        model: Path,
        *,
        share: float | None,
        why: str = "",
        verdict: Verdict | None = None,
    ) -> RegistryState:
        """Copy a model version in. The first becomes champion, a later one challenger with ``share``.

        A new challenger replaces the one before it, which is retired. ``share=None`` keeps a later
        version as a candidate. Adding the same version again changes nothing.

        Raises:
            ModelVersionError: ``model`` is not what its manifest says; the message names the file.
            RegistryError: another model of that name is there, or ``share`` is out of range.
        """
        from models.version import verify

        version = verify(model).version
        if not _NAME.match(version):
            raise RegistryError(f"{version!r} cannot be the name of a folder.")
        with self._locked():
            state = self.state()
            folder = self.root / "versions" / version
            if version in state.versions:
                self._require_same(model, folder)
                return state
            after = moves.add(state, version, share=share, why=why, verdict=verdict)
            self._sweep()
            with atomic_folder(folder) as temporary:
                shutil.copytree(model, temporary, dirs_exist_ok=True)
                verify(temporary)
            self._write(after)
            return after

    def challenge(self, version: str, *, share: float, why: str = "") -> RegistryState:
        """Put a version on trial, or change its share."""
        return self._move(lambda state: moves.challenge(state, version, share=share, why=why))

    def promote(self, version: str, *, why: str = "") -> RegistryState:
        """Challenger -> champion; the champion before it is retired."""
        return self._move(lambda state: moves.promote(state, version, why=why))

    def rollback(self, version: str, *, why: str = "") -> RegistryState:
        """Take a version out of service; a champion yields to the one before it."""
        return self._move(lambda state: moves.rollback(state, version, why=why))

    def retire(self, version: str, *, why: str = "") -> RegistryState:
        """Shelve a candidate or challenger."""
        return self._move(lambda state: moves.retire(state, version, why=why))

    def _move(self, move: Callable[[RegistryState], RegistryState]) -> RegistryState:
        if not self.state_path.exists():
            raise RegistryError(
                f"{self.root} is not a registry: it holds no state.json.",
                hint="Deploy a version first (hemix run), or pass --models DIR.",
            )
        with self._locked():
            before = self.state()
            after = move(before)
            if after != before:
                self._write(after)
            return after

    def _write(self, state: RegistryState) -> None:
        with atomic_file(self.state_path) as temporary:
            temporary.write_text(state.model_dump_json(indent=2) + "\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = (self.root / ".lock").open("w")
        except OSError as error:
            raise StorageError(
                f"{self.root}: cannot write ({error.strerror}).",
                hint="Give this user write permission on the registry's folder.",
            ) from error
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _sweep(self) -> None:
        """Remove what a killed add left behind: hidden names that nothing refers to."""
        for leftover in (self.root / "versions").glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)

    @staticmethod
    def _require_same(model: Path, folder: Path) -> None:
        """The same name must mean the same weights and transform (not the same minute of birth)."""
        new, old = (read_json(path / "manifest.json").get("files") for path in (model, folder))
        if new != old:
            names = sorted(n for n in {*new, *old} if new.get(n) != old.get(n))
            raise RegistryError(
                f"{folder.name} is already in the registry with other content: {', '.join(names)}.",
                hint="A version never changes: train under another name, or remove the registry.",
            )


def require_registry(root: Path) -> Registry:
    """A registry that has a champion.

    Raises:
        RegistryError: the folder is not a registry, or no version was deployed.
    """
    registry = Registry(root)
    state = registry.state()
    if state.champion is None:
        raise RegistryError(
            f"{root} holds no deployed model version.",
            hint="Run the pipeline first (hemix run), or pass --models DIR.",
        )
    if not (root / "versions" / state.champion / "manifest.json").is_file():
        raise ModelVersionError(
            f"{root / 'versions' / state.champion} lacks manifest.json.",
            hint="Restore the folder, or roll the version back.",
        )
    return registry
