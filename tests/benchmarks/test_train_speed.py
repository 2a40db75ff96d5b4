"""The yardstick of training speed has the engine's logits, gradients and rows."""

from __future__ import annotations

import pytest
import torch

from benchmarks.made_up import made_up_batch, made_up_spec
from benchmarks.plain_hemix import PlainHeMix
from benchmarks.train_speed import VARIANTS, make
from models.hemix import HeMix

torch.set_num_threads(1)
SMALL = {"model.token_width": "16"}


@pytest.mark.parametrize("recipe", ["compact", "tiny", "unirank_like"])
def test_variants_have_the_same_logits_and_gradients(recipe: str) -> None:
    made = {variant: make(variant, recipe, 30, rows=8, overrides=SMALL) for variant in VARIANTS}
    logits, gradients = {}, {}
    for variant, (steps, batches) in made.items():
        assert type(steps.ranker) is (PlainHeMix if variant == "plain" else HeMix)
        torch.manual_seed(0)  # the same ids are shown as unknown
        steps.ranker.double()
        batch = batches[0]
        batch.numbers.update({k: v.double() for k, v in batch.numbers.items()})
        found = steps.ranker(batch)
        sum(logit.sum() for logit in found.values()).backward()
        logits[variant] = torch.stack(list(found.values()))
        gradients[variant] = {
            name: p.grad.to_dense()
            for name, p in steps.ranker.named_parameters()
            if p.grad is not None
        }
    for variant in ("folded", "ours"):
        torch.testing.assert_close(logits[variant], logits["plain"], rtol=0, atol=1e-10)
        assert gradients[variant].keys() == gradients["plain"].keys()
        for name, gradient in gradients["plain"].items():
            torch.testing.assert_close(gradients[variant][name], gradient, rtol=0, atol=1e-10)


def test_rows_are_as_described() -> None:
    spec = made_up_spec(120)
    lengths = made_up_batch(spec, 4000, 0).lists["global"].lengths
    assert lengths.min() >= 1
    assert lengths.max() == 120
    assert abs(float(lengths.float().median()) - 40) < 3
    assert abs(float((lengths == 120).float().mean()) - 1 / 7) < 0.03
    assert (made_up_batch(spec, 5, 0, full=True).lists["global"].lengths == 120).all()
