"""Names that people choose and that become part of paths, addresses and labels."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 63
"""Letters: what a Kubernetes label holds."""
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
