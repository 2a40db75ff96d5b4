"""Blocks whose activations are computed again: the same gradients, and fewer kept tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hemix.models.data.toy import toy_batch
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.training.recipes import Recipe, large_1b, small_100m
from hemix.models.training_config import TrainingConfig
from tests.models.rankers.hemix.test_hemix import make
from tests.models.training.test_steps import gradient, steps_of


@pytest.mark.parametrize("mixer", ["hetero", "transformer"])
@pytest.mark.parametrize("parts", [1, 2])
def test_gradients_are_the_same_bit_for_bit(mixer: str, parts: int) -> None:
    """With dropout, whose masks are drawn once and found again, and in parts of a batch."""
    found = []
    for recompute in (False, True):
        model = HeMixConfig(
            token_width=8, rank=3, norm="pre_rms", dropout=0.3, mixer=mixer, recompute=recompute
        )
        training = TrainingConfig(batch_size=16, accumulate=parts)
        recipe = Recipe(name="x", ranker="hemix", model=model, training=training)
        steps = steps_of(recipe)
        torch.manual_seed(3)
        found.append((*gradient(steps, toy_batch(rows=16)), torch.rand(1)))
    (loss, plain, after), (again_loss, again, again_after) = found
    assert loss == again_loss
    assert torch.equal(after, again_after)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_inner_activations_of_blocks_are_not_kept() -> None:
    def kept(recompute: bool) -> int:
        model, sizes = make(recompute=recompute, blocks=3).train(), []
        batch = replace(toy_batch(rows=64), labels={})
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.append(x.numel()) or x, lambda x: x
        ):
            tokens = model.tokens(batch)
            sizes.clear()
            model._logits(tokens)
        return sum(sizes)

    # Of a block its input: 64 rows of 12 tokens of 8; of the towers what they had before.
    assert kept(True) < kept(False) / 5


def test_scoring_and_the_state_of_a_version_know_nothing_of_it() -> None:
    plain, again = make(), make(recompute=True)
    again.load_state_dict(plain.state_dict())
    batch = toy_batch(rows=3)

    def scores(model: torch.nn.Module) -> dict[str, Tensor]:
        with torch.inference_mode():
            found: dict[str, Tensor] = model.train()(batch)
        return found

    for task, logit in scores(plain).items():
        assert torch.equal(logit, scores(again)[task])


def test_the_largest_recipe_computes_again() -> None:
    large, small = large_1b().model, small_100m().model
    assert isinstance(large, HeMixConfig)
    assert isinstance(small, HeMixConfig)
    assert large.recompute
    assert not small.recompute
