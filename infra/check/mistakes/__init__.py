"""Kinds of mistakes: one rendered object broken by hand each, which the checkers must refuse.

``reviewed`` are those that a reading of the controllers' sources found to pass once; ``further`` are
more of the same kinds; ``operators`` and the two fresh sets were written without a look at the rules:
of ``fresh_first`` 77 in 100 were refused at the first try, of ``fresh_second`` 92. ``newcomer`` holds
kinds that passed of a newcomer's 350, of which 300 were refused, ``fresh_third`` those of two sets of
209, of which 192 were. ``right`` is no mistake: what operators change and no rule may refuse.
``make cluster-check`` and the tests go through all of them.
"""

from hemix.infra.check.mistakes.fresh_first import FRESH_FIRST
from hemix.infra.check.mistakes.fresh_second import FRESH_SECOND
from hemix.infra.check.mistakes.fresh_third import FRESH_RIGHT, FRESH_THIRD
from hemix.infra.check.mistakes.further import FURTHER
from hemix.infra.check.mistakes.mistake import Mistake, refused, site_of
from hemix.infra.check.mistakes.newcomer import NEWCOMER
from hemix.infra.check.mistakes.operators import OPERATORS
from hemix.infra.check.mistakes.reviewed import REVIEWED
from hemix.infra.check.mistakes.right import RIGHT as ONE_BY_ONE

MISTAKES: tuple[Mistake, ...] = (
    *REVIEWED,
    *FURTHER,
    *OPERATORS,
    *FRESH_FIRST,
    *FRESH_SECOND,
    *NEWCOMER,
    *FRESH_THIRD,
)
RIGHT: tuple[Mistake, ...] = (*ONE_BY_ONE, *FRESH_RIGHT)

__all__ = [
    "FRESH_FIRST",
    "FRESH_SECOND",
    "FRESH_THIRD",
    "FURTHER",
    "MISTAKES",
    "NEWCOMER",
    "OPERATORS",
    "REVIEWED",
    "RIGHT",
    "Mistake",
    "refused",
    "site_of",
]
