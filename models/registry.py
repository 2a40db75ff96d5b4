"""Every ranker, one line each."""

from __future__ import annotations

from hemix.errors import DefinitionError
from hemix.spec import FeatureSpec
from models.dcnv2 import DCNv2, DCNv2Config
from models.din import DIN, DINConfig
from models.hemix import HeMix
from models.hemix_config import HeMixConfig
from models.ranker import Ranker, RankerConfig

RANKERS: dict[str, tuple[type[Ranker], type[RankerConfig]]] = {
    "hemix": (HeMix, HeMixConfig),
    "dcnv2": (DCNv2, DCNv2Config),
    "din": (DIN, DINConfig),
}


def find(ranker: str) -> tuple[type[Ranker], type[RankerConfig]]:
    """The classes of a ranker and of its configuration.

    Raises:
        DefinitionError: there is no such ranker.
    """
    if ranker not in RANKERS:
        raise DefinitionError(f"No ranker is called {ranker!r}.", hint=f"Known: {list(RANKERS)}.")
    return RANKERS[ranker]


def build(ranker: str, spec: FeatureSpec, config: RankerConfig) -> Ranker:
    """A new ranker with random weights (from torch's global generator)."""
    kind, kind_of_config = find(ranker)
    assert isinstance(config, kind_of_config), f"{ranker} needs a {kind_of_config.__name__}"
    return kind(spec, config)
