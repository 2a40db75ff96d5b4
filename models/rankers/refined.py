"""Recipe keys of the refinement between a ranker's field vectors and what crosses them."""

from __future__ import annotations

from hemix.models.layers.refinement.base import RefinementConfig
from hemix.models.layers.refinement.named import Refine
from hemix.models.rankers.base import RankerConfig


class RefinedConfig(RankerConfig):
    """Shape of rankers that see their fields as vectors."""

    refine: Refine | dict[str, Refine] = "none"
    """Layer between the field vectors and what crosses them, or a branch's name -> its own layer."""
    refine_separate: bool = False
    """Give each branch (such as cross and deep) a layer of that kind with weights of its own."""
    refinement: RefinementConfig = RefinementConfig()
    """Shape of that layer."""
