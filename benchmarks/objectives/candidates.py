"""The objectives that are compared, each with the weights that validation chooses from."""

from __future__ import annotations

from collections.abc import Sequence

WEIGHTS = ("0.1", "0.3", "1.0")
"""Of the added term, beside log loss of weight 1."""
PLAIN = "bce"
GROUPED = ("ranknet", "bpr", "listnet", "listce", "jrc", "rcr")
OBJECTIVES = (PLAIN, "in_batch_softmax", *GROUPED, "group_ce")
Overrides = dict[str, str]


def settings(
    objective: str, *, by: str, levels: Sequence[int] = (2,), codes: Sequence[int] = (8,)
) -> list[Overrides]:
    """What each try of ``objective`` sets; one try of log loss alone.

    Args:
        objective: one of :data:`OBJECTIVES`.
        by: ``user`` or ``request``, of terms that compare rows of one of them.
        levels: numbers of levels that GroupCE tries; 0: the whole batch alone.
        codes: sizes of a codebook that GroupCE tries.

    Example:
        >>> settings("bpr", by="user")[0]
        {'training.objective.bpr.weight': '0.1'}
    """
    if objective == PLAIN:
        return [{}]
    place = f"training.objective.{objective}"
    more: list[Overrides] = [{}]
    if objective in GROUPED and by != "user":
        more = [{f"{place}.by": by}]
    if objective == "group_ce":
        more = [
            {f"{place}.levels": str(level), f"{place}.codes": str(size)}
            | ({f"{place}.whole_batch": "true"} if level == 0 else {})
            for level in levels
            for size in (codes if level else codes[:1])
        ]
    return [{f"{place}.weight": weight} | one for weight in WEIGHTS for one in more]
