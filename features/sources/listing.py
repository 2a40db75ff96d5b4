"""The files that a path names: a file, a folder with all it holds, or a glob; here or in a store.

Only the path itself is a glob, never the root it is relative to, and a name that there is as it is
written, of the file or of a folder on the way, goes before any glob. Hidden files and ``_SUCCESS`` marks are not data.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from typing import Any

_SIGNS = re.compile(r"[*?[]")


def local_files(root: str, path: str) -> list[str]:
    """Paths on this machine, each file once however many links lead to it; empty for none."""
    found: dict[str, tuple[int, str]] = {}
    for name in _local_names(root, path):
        for file in _below(name) if os.path.isdir(name) else [name]:
            real = os.path.realpath(file)
            # The way with the fewest links: its folders' names say the most.
            found[real] = min(found.get(real, (1 << 30, "")), (_links(file), file))
    return sorted(file for _, file in found.values())


def _links(file: str) -> int:
    """How many parts of a path are links."""
    parts = file.split("/")
    return sum(os.path.islink("/".join(parts[:end])) for end in range(2, len(parts) + 1))


def stored_files(filesystem: Any, root: str, path: str) -> list[str]:
    """As :func:`local_files`, for an object store; ``root`` is a place in ``filesystem``."""
    whole = _joined(root, path)
    names = [whole] if _is_there(filesystem, whole) else []
    if not names and _SIGNS.search(path):
        names = _stored_names(filesystem, root, path)
    files: list[str] = []
    for name in names:
        if filesystem.isdir(name):
            base = name.rstrip("/")
            inner = (found[len(base) :] for found in filesystem.find(base))
            files += [base + rest for rest in inner if not is_hidden(rest)]
        else:
            files.append(name)
    return files


def is_hidden(relative: str) -> bool:
    """True when a part of the path begins with a dot or an underscore."""
    return any(part.startswith((".", "_")) for part in relative.split("/") if part.strip("."))


def _joined(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}" if root else path


def _local_names(root: str, path: str) -> list[str]:
    if os.path.lexists(whole := os.path.join(root, path)):
        return [whole]
    root, rest = _literal(root, path, os.path.lexists)
    if not _SIGNS.search(rest):
        return []
    names = glob.glob(rest, root_dir=root, recursive=True, include_hidden=True)
    return [os.path.join(root, name) for name in names if _is_asked_for(name, rest)]


def _literal(root: str, pattern: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """Move the first folders of a pattern that there are, as they are written, to the root."""
    base, parts = root.rstrip("/"), pattern.split("/")
    while len(parts) > 1:
        inner = f"{base}/{parts[0]}" if base or root else parts[0]
        if _SIGNS.search(parts[0]) and not exists(inner):
            break
        base = inner
        parts.pop(0)
    return base or root, "/".join(parts)


def _is_asked_for(name: str, pattern: str) -> bool:
    """Hidden names are taken only by a pattern that writes them out."""
    written = set(pattern.split("/"))
    return not is_hidden("/".join(part for part in name.split("/") if part not in written))


def _below(folder: str) -> list[str]:
    """Files under a folder, through links too; a link to a folder around it is not followed."""
    files: list[str] = []
    around = [os.path.realpath(folder)]

    def walk(place: str) -> None:
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if is_hidden(entry.name):
                continue
            if not entry.is_dir():
                files.append(entry.path)
            elif (real := os.path.realpath(entry.path)) not in around:
                around.append(real)
                walk(entry.path)
                around.pop()

    walk(folder)
    return files


def _is_there(filesystem: Any, name: str) -> bool:
    try:
        filesystem.info(name)
    except FileNotFoundError:
        return False
    except OSError:
        if _SIGNS.search(name):  # a store may refuse to tell of keys that are not there
            return False
        raise
    return True


def _stored_names(filesystem: Any, root: str, pattern: str) -> list[str]:
    from fsspec.utils import glob_translate

    base, rest = _literal(root, pattern, lambda name: _is_there(filesystem, name))
    depth = None if "**" in rest else rest.count("/") + 1
    wanted = re.compile(glob_translate(rest))
    start = len(base.rstrip("/")) + 1 if base else 0
    found = filesystem.find(base, maxdepth=depth, withdirs=True)
    return [
        name
        for name in sorted(found)
        if wanted.match(name[start:]) and _is_asked_for(name[start:], rest)
    ]
