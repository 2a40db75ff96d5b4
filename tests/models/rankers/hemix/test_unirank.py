"""HeMix beside UniRank's: what the recipe sets, and where ours is not theirs on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from hemix.models.data.toy import toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.layers.attention.mixed import MixedHeteroAttention
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.mixing import HeteroMixerBlock
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.training.recipes import unirank_like
from tests.models.released import unirank
from tests.models.released_vectors import Case, entries, read
from tests.models.test_released_vectors import DEFAULT

PADDED = [
    read(folder, entry)
    for folder in [DEFAULT / "unirank"]
    if folder.is_dir()
    for entry in entries(folder)
    if entry["file"].startswith("attention_padded")
]


@pytest.mark.skipif(not PADDED, reason="no folder of released vectors is on this machine")
@pytest.mark.parametrize("case", PADDED, ids=lambda case: case.file)
def test_padding_is_no_part_of_our_softmax(case: Case) -> None:
    """Theirs gives every empty place the score 0, so that what a row reads hangs on how far its batch
    is padded, and short histories are read weakly. Ours reads events alone: rows without padding
    equal theirs, and the others are what theirs give when nothing is padded."""
    lengths, places = torch.from_numpy(case.arrays["lengths"]), case.arrays["S"].shape[1]
    theirs, found = torch.from_numpy(case.arrays["out"]), replace(case)
    masked = unirank.attention(found, lengths, null_item=False)
    scale = theirs.abs().max()
    for row, length in enumerate(lengths.tolist()):
        far = float((masked[row] - theirs[row]).detach().abs().max() / scale)
        assert far < 1e-12 if length == places else far > 1e-3
    # One padded place is one null item of zeros.
    zero = unirank.attention(replace(case), lengths, learned_null=False)
    for row in (lengths == places - 1).nonzero().flatten():
        torch.testing.assert_close(zero[row], theirs[row], rtol=0, atol=1e-12)


def test_the_recipe_is_that_of_their_run() -> None:
    recipe = unirank_like()
    config, training = recipe.model, recipe.training
    assert isinstance(config, HeMixConfig)
    assert (config.norm, config.stacked_init, config.null_item) == ("pre_layer", "stack", False)
    assert config.embedding == EmbeddingConfig(width=16, std=1e-4)
    assert (training.weight_decay, training.clip_norm, training.warmup) == (0, 10, 0)
    assert (training.schedule, training.epochs) == ("constant", 1)
    small = config.model_copy(update={"token_width": 8, "blocks": 1})
    model = HeMix(toy_spec(), small)
    assert isinstance(model.norm, nn.Identity), "nothing behind the last block"
    (block,) = model.blocks
    assert isinstance(block, HeteroMixerBlock)
    assert block.pre
    assert isinstance(block.ffn_norm, nn.LayerNorm)


def test_stacks_count_as_a_fan() -> None:
    torch.manual_seed(0)
    config = HeMixConfig(token_width=32, rank=8, blocks=1, stacked_init="stack")
    model, plain = HeMix(toy_spec(), config), HeMix(toy_spec(), HeMixConfig(token_width=32, rank=8))
    weights = {name: p for name, p in model.named_parameters() if p.ndim == 3}
    assert {name.split(".")[-1] for name in weights} == {"query", "left", "right", "up", "down"}
    for name, weight in weights.items():
        stack, inputs, outputs = weight.shape
        bound = (6 / (inputs * outputs + stack * outputs)) ** 0.5
        assert 0.95 * bound < float(weight.abs().max()) <= bound, name
        assert float(weight.std()) < float(dict(plain.named_parameters())[name].std()) / 2
    first = model.attention[0]
    assert isinstance(first, MixedHeteroAttention)
    assert float(first.fixed.abs().max()) <= (6 / (32 + 2 * 32)) ** 0.5


def test_null_forms_need_a_null_item() -> None:
    with pytest.raises(ValueError, match="null_form=zero needs a null item: set null_item=true"):
        HeMixConfig(null_form="zero", null_item=False)
    with pytest.raises(ValueError, match="interest=mixed or recent"):
        HeMixConfig(null_form="padding", interest="din")
