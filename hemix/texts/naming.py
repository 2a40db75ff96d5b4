"""Names that people choose and that become part of paths, addresses and labels."""

from __future__ import annotations

import re
import unicodedata

from hemix.errors import DefinitionError

LONGEST = 63
"""Letters: what a Kubernetes label holds."""
LONGEST_SHOWN = 128
"""Letters of a name that a server shows; Kubeflow Pipelines' database holds no longer ones."""
_FILE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}


def file_name(name: str) -> str:
    """``name`` itself, when it is the name of one file or folder everywhere.

    Raises:
        ValueError: it is not; says what to write instead.
    """
    reserved = name.split(".")[0].lower() in _RESERVED
    if _FILE_NAME.fullmatch(name) and len(name) <= LONGEST and not reserved:
        return name
    clean = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    clean = re.sub(r"[^A-Za-z0-9]+", "-", clean).strip("-")[:LONGEST].rstrip("-")
    if reserved or not clean:
        clean = f"log-{clean}".rstrip("-")
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    raise ValueError(
        f"{shown!r} becomes a folder's name; write at most {LONGEST} letters a-z, digits, '.', '_' "
        f"and '-', the first and last a letter or a digit, such as {clean!r}"
    )


def shown_name(name: str, what: str) -> str:
    """``name`` itself, when a server can show it and a person can type it again.

    Args:
        name: of a run, a schedule or an experiment on the server; any letters.
        what: what is named, for the message: ``--experiment``.

    Raises:
        DefinitionError: it is empty or too long, begins or ends with a blank, or holds what cannot be
            seen (a line break, a tab, half of a surrogate pair, a mark that turns the text around).
    """
    if not name.strip():
        raise DefinitionError(f"{what} is empty: give it a name.")
    if len(name) > LONGEST_SHOWN:
        raise DefinitionError(
            f"{what}: {name[:40]!r}... has {len(name)} letters; a name has at most {LONGEST_SHOWN}."
        )
    bad = next((letter for letter in name if not letter.isprintable()), "")
    if bad or name != name.strip():
        why = f"holds {bad!r}, which cannot be seen" if bad else "begins or ends with a blank"
        clean = " ".join("".join(c if c.isprintable() else " " for c in name).split())
        mend = f"; write {clean!r}" if clean else ""
        raise DefinitionError(f"{what}: {name!r} {why}{mend}.")
    return name
