"""Which models stand in the table: a base, and what is put on top of it with the base's settings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from benchmarks.static import settings

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


RATIOS = (0.98, 0.95, 0.9, 0.85, 0.8)
"""Shares of a table's variance whose widths FDO tries."""
STRENGTHS = (0.01, 0.03, 0.1, 0.3)
"""Of Group-FTRL's draw to 0, in parts of the release's (10 for a sum over 4,096 rows), with which no
row of an FM leaves 0 on Frappe: where all others are 0 a row has no gradient."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table.

    ``base`` is the row that it is compared with, ``like`` the one whose settings it keeps (itself:
    a search of its own); ``ratio``: the widths of its tables are chosen from the trained base.
    """

    recipe: str
    base: str
    like: str
    overrides: dict[str, str] = field(default_factory=dict)
    ratio: float | None = None

    @property
    def by_group_ftrl(self) -> bool:
        """Its tables have rows of zeros to be counted."""
        return self.overrides.get("training.embedding_optimizer") == "group_ftrl"


def entries(
    bases: tuple[str, ...],
    refine: tuple[str, ...] = (),
    *,
    separate: bool = False,
    cl4ctr: bool = False,
    widths: tuple[int, ...] = (),
    fdo: tuple[float, ...] = (),
    group_ftrl: tuple[float, ...] = (),
) -> dict[str, Entry]:
    """Rows by name: every base, then what is put on top of it.

    Args:
        bases: recipes.
        refine: refinements (``+ name``).
        separate: also one a branch (``+ 2 name``), where there are two.
        cl4ctr: also CL4CTR's auxiliary loss.
        widths: of all tables alike (``+ width 8``).
        fdo: ratios; the widths a table, by a centred PCA of the trained base (``+ fdo 0.95``).
        group_ftrl: strengths; Group-FTRL in Adam's place (``+ group_ftrl 0.1``). The first finds
            the learning rate of all.

    Example:
        >>> list(entries(("fm",), ("senet",), cl4ctr=True, fdo=(0.95,)))
        ['fm', 'fm + senet', 'fm + cl4ctr', 'fm + fdo 0.95']
    """
    found: dict[str, Entry] = {}
    for base in bases:
        plain = Entry(recipe=base, base=base, like=base)
        found[base] = plain
        for name in refine:
            shared = {"model.refine": name}
            found[f"{base} + {name}"] = replace(plain, overrides=shared)
            if separate and base not in ONE_BRANCH:
                own = shared | {"model.refine_separate": "true"}
                found[f"{base} + 2 {name}"] = replace(plain, overrides=own)
        if cl4ctr:
            weight = {"training.objective.cl4ctr.weight": "1"}
            found[f"{base} + cl4ctr"] = replace(plain, overrides=weight)
        for width in widths:
            equal = {"model.embedding.width": str(width)}
            found[f"{base} + width {width}"] = replace(plain, overrides=equal)
        for ratio in fdo:
            found[f"{base} + fdo {ratio:g}"] = replace(plain, ratio=ratio)
        for strength in group_ftrl:
            drawn = settings.group_ftrl(strength)
            like = f"{base} + group_ftrl {group_ftrl[0]:g}"
            found[f"{base} + group_ftrl {strength:g}"] = replace(plain, like=like, overrides=drawn)
    return found
