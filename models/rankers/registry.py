"""Every ranker, one line each."""

from __future__ import annotations

from hemix.errors import DefinitionError
from hemix.models.rankers.base import Ranker, RankerConfig
from hemix.models.rankers.crossing.dcn import DCN
from hemix.models.rankers.crossing.dcnv2 import DCNv2
from hemix.models.rankers.crossing.gdcn import GCN, GDCNP, GDCNS
from hemix.models.rankers.ensemble.adaensemble import AdaEnsemble
from hemix.models.rankers.factorization.afn import AFN
from hemix.models.rankers.factorization.deepfm import DeepFM
from hemix.models.rankers.factorization.fibinet import FiBiNET
from hemix.models.rankers.factorization.fm import FM
from hemix.models.rankers.factorization.nfm import NFM
from hemix.models.rankers.factorization.xdeepfm import XDeepFM
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.rankers.histories.din import DIN
from hemix.models.rankers.histories.eta import ETA
from hemix.models.rankers.histories.hstu import HSTU
from hemix.models.rankers.histories.longer import LONGER
from hemix.models.rankers.histories.onetrans import OneTrans
from hemix.models.rankers.histories.sim import SIM
from hemix.models.rankers.interactions.autoint import AutoInt
from hemix.models.rankers.interactions.dlrm import DLRM
from hemix.models.rankers.interactions.hiformer import Hiformer
from hemix.models.rankers.interactions.wukong import Wukong
from hemix.models.rankers.mixers.rankmixer import RankMixer
from hemix.models.rankers.mixers.tokenmixer_large import TokenMixerLarge
from hemix.models.rankers.polynomial.dynint import DynInt
from hemix.models.rankers.polynomial.xdeepint import XDeepInt
from hemix.spec import FeatureSpec
from hemix.texts.meant import did_you_mean, meant

RANKERS: dict[str, type[Ranker]] = {
    kind.name: kind
    for kind in (
        HeMix,
        DCNv2,
        DIN,
        SIM,
        ETA,
        LONGER,
        HSTU,
        OneTrans,
        DLRM,
        AutoInt,
        Wukong,
        Hiformer,
        RankMixer,
        TokenMixerLarge,
        FM,
        DeepFM,
        XDeepFM,
        NFM,
        AFN,
        FiBiNET,
        DCN,
        GCN,
        GDCNS,
        GDCNP,
        XDeepInt,
        DynInt,
        AdaEnsemble,
    )
}


def find(ranker: str) -> type[Ranker]:
    """The class of a ranker; its ``config_type`` is that of its configuration.

    Raises:
        DefinitionError: there is no such ranker.
    """
    if ranker not in RANKERS:
        near = did_you_mean(meant(ranker, RANKERS))
        raise DefinitionError(
            f"No ranker is called {ranker!r}{near}", hint=f"Known: {', '.join(RANKERS)}."
        )
    return RANKERS[ranker]


def build(ranker: str, spec: FeatureSpec, config: RankerConfig) -> Ranker:
    """A new ranker with random weights (from torch's global generator)."""
    kind = find(ranker)
    assert isinstance(config, kind.config_type), f"{ranker} needs a {kind.config_type.__name__}"
    return kind(spec, config)
