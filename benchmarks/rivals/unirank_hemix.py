"""UniRank's HeMix (Songcheng-Ren/UniRank, arXiv 2607.19987) around our tables and towers, as a rival.

Its tokenizer with its mixed attention and its mixer are imported from ``model_zoo/HeMix.py`` of a
checkout; nothing of it lies here. What its ``HeMix.forward`` does between them is done here: one
projection of all events, padded to the longest of the batch (there: to the longest of the data set),
places without an event as zeros that the softmax still reads, and the mean of the tokens. So a step
differs from ours in the network alone.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from hemix.errors import EnvironmentProblem
from hemix.models.data.batch import Batch
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.spec import FeatureSpec

FILE = Path("model_zoo") / "HeMix.py"


def their_module(checkout: Path) -> ModuleType:
    """``model_zoo/HeMix.py`` of a checkout.

    Raises:
        EnvironmentProblem: the file is not there, or needs a package that is not.
    """
    path = checkout / FILE
    found = importlib.util.spec_from_file_location("unirank_hemix_of_checkout", path)
    if not path.is_file() or found is None or found.loader is None:
        raise EnvironmentProblem(
            f"There is no {path}.",
            hint="--unirank: a checkout of github.com/Songcheng-Ren/UniRank (be133c2).",
        )
    module = importlib.util.module_from_spec(found)
    sys.path.insert(0, str(checkout))
    try:
        found.loader.exec_module(module)
    except ImportError as error:
        raise EnvironmentProblem(
            f"{path} cannot be imported: {error}.", hint="Install what UniRank's README asks for."
        ) from error
    finally:
        sys.path.remove(str(checkout))
    return module


class UniRankHeMix(Ranker):
    """The shape of ``config`` in UniRank's modules; only shapes that it has."""

    name = "hemix"
    config_type = HeMixConfig

    def __init__(self, spec: FeatureSpec, config: HeMixConfig, theirs: ModuleType) -> None:
        super().__init__(spec, config)
        width, own = config.token_width, (config.dynamic_global, config.dynamic_realtime)
        assert own == (config.fixed_global, config.fixed_realtime), "as many fixed as dynamic"
        events = len(spec.sequences[0].columns) * config.embedding.width
        self.item_token_proj = nn.Linear(events, width)
        self.unified_tokenizer_layer = theirs.HeMixTokenizer(
            input_dim=self.embedding.field_count() * config.embedding.width,
            token_dim=width,
            num_glocal_token=own[0],
            num_real_token=own[1],
            num_heads=config.attention_heads,
        )
        self.unified_interaction_layers = theirs.HeteroMixer(
            input_dim=width,
            num_token=3 * sum(own),
            num_layers=config.blocks,
            expand=config.ffn_expansion,
            num_mix_heads=config.mix_heads,
            low_rank_dim=config.rank,
        )
        self.heads = self.towers(width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        fields = self.embedding.fields(batch).flatten(1)
        events = [self._events(batch, place) for place in range(2)]
        glocal, real = events
        tokens_BND = self.unified_tokenizer_layer(fields, real, glocal)
        mean_BD: Tensor = self.unified_interaction_layers(tokens_BND).mean(1)
        return {task: tower(mean_BD) for task, tower in self.heads.items()}

    def _events(self, batch: Batch, place: int) -> Tensor:
        e_BLS, mask_BL = self.embedding.sequence(batch, self.spec.sequences[place])
        zeros = mask_BL[..., None].to(e_BLS.dtype)
        projected: Tensor = self.item_token_proj(e_BLS) * zeros
        return projected
