"""What lies in a model version's folder: files of its own and nothing else, each with its SHA-256."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hemix.errors import ModelVersionError
from hemix.files import sha256_file

LONGEST_MANIFEST = 16 << 20
"""Bytes; that of a version with a thousand fields has less than one million."""


def digests(folder: Path) -> dict[str, str]:
    """``relative name -> SHA-256`` of every file of a version, sorted by name.

    Raises:
        ModelVersionError: a file or folder cannot be read; or there is a link, or what is neither
            file nor folder: its content is not the version's own. Names it.
    """
    names: list[str] = []
    try:
        for place, folders, files in os.walk(folder, onerror=_raise):
            for name in (*folders, *files):
                path = Path(place, name)
                mode = path.lstat()
                if stat.S_ISREG(mode.st_mode):
                    names.append(path.relative_to(folder).as_posix())
                if not (stat.S_ISREG(mode.st_mode) or stat.S_ISDIR(mode.st_mode)):
                    raise _foreign(path, "a link" if path.is_symlink() else "no file")
                if stat.S_ISREG(mode.st_mode) and mode.st_nlink > 1:
                    raise _foreign(path, "a file with a second name (a hard link)")
    except OSError as error:
        raise unreadable(Path(error.filename or folder), error) from error
    found = {}
    for name in sorted(names):
        try:
            found[name] = sha256_file(folder / name)
        except OSError as error:
            raise unreadable(folder / name, error) from error
    return found


def read_bounded(path: Path) -> bytes:
    """The manifest's bytes.

    Raises:
        ModelVersionError: it cannot be read, is no file of its own, or is too long for a manifest.
    """
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise _foreign(path, "a link" if stat.S_ISLNK(mode) else "no file")
        with path.open("rb") as file:
            data = file.read(LONGEST_MANIFEST + 1)
    except FileNotFoundError as error:
        raise ModelVersionError(
            f"{path}: cannot read ({error.strerror}). This is not a model version."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    check_length(len(data), str(path))
    return data


def check_length(length: int, where: str) -> None:
    """Raises ModelVersionError when a manifest is too long to be one."""
    if length > LONGEST_MANIFEST:
        raise ModelVersionError(
            f"{where}: longer than {LONGEST_MANIFEST:,} bytes. This is not a manifest.",
            hint="Take the version again from where it was made.",
        )


def check_names(names: Iterable[str], where: str) -> None:
    """Raises ModelVersionError when a manifest names a file that is not inside the folder."""
    for name in names:
        parts = PurePosixPath(name).parts
        plain = name == "/".join(parts) and ".." not in parts and "\0" not in name
        if not plain or not parts or parts[0] == "/":
            raise ModelVersionError(
                f"{where}: files: {name!r} is not the name of a file in the version's folder.",
                hint="Do not serve this folder: take it again from where it was made.",
            )


def unreadable(path: Path, error: OSError) -> ModelVersionError:
    """The error of a version's file that cannot be read."""
    what = error.strerror or type(error).__name__
    return ModelVersionError(
        f"{path}: cannot read ({what}).",
        hint="Give this user the right to read the whole version (chmod -R a+rX)."
        if isinstance(error, PermissionError)
        else "Copy the version here again from where it was made.",
    )


def _foreign(path: Path, what: str) -> ModelVersionError:
    return ModelVersionError(
        f"{path}: {what}. A model version holds files of its own only.",
        hint="Copy the version with its content (cp -rL), and from people you trust only.",
    )


def _raise(error: OSError) -> None:
    raise error
