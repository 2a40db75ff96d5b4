"""Which models stand in the table: a base, and what is put on top of it with the base's settings."""

from __future__ import annotations

from dataclasses import dataclass, field

BASES = (
    *("fm", "deepfm", "xdeepfm", "nfm", "afn", "fibinet", "autoint"),
    *("dcn", "dcnv2", "gcn", "gdcn_s", "gdcn_p"),
    *("xdeepint", "dynint", "adaensemble"),
)
"""The interaction line; ``--bases`` takes any recipe."""
ONE_BRANCH = frozenset(("fm", "nfm", "gcn", "gdcn_s", "xdeepint", "dynint", "adaensemble"))
"""Bases of one branch, which has nothing to be refined apart from."""
REFINEMENTS = (
    *("fen", "senet", "fwn", "dfen", "drm", "vgate", "bgate"),
    *("selfatt", "tce", "pffn", "gfrl", "frnet_v", "frnet_b"),
)


@dataclass(frozen=True)
class Entry:
    """A row of the table; ``base`` is the row whose settings it keeps and is compared with."""

    recipe: str
    base: str
    overrides: dict[str, str] = field(default_factory=dict)


def entries(
    bases: tuple[str, ...],
    refine: tuple[str, ...] = (),
    *,
    separate: bool = False,
    cl4ctr: bool = False,
) -> dict[str, Entry]:
    """Rows by name: every base, then each refinement of it (``+ name``, ``+ 2 name``), and CL4CTR.

    Example:
        >>> list(entries(("fm",), ("senet",), cl4ctr=True))
        ['fm', 'fm + senet', 'fm + cl4ctr']
    """
    found: dict[str, Entry] = {}
    for base in bases:
        found[base] = Entry(base, base)
        for name in refine:
            shared = {"model.refine": name}
            found[f"{base} + {name}"] = Entry(base, base, shared)
            if separate and base not in ONE_BRANCH:
                own = shared | {"model.refine_separate": "true"}
                found[f"{base} + 2 {name}"] = Entry(base, base, own)
        if cl4ctr:
            found[f"{base} + cl4ctr"] = Entry(base, base, {"training.objective.cl4ctr.weight": "1"})
    return found
