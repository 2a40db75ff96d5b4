"""Both ways of scoring a request's candidates give the same scores."""

from __future__ import annotations

import pytest
import torch

from benchmarks.measuring.request_side import once, request_of, rows


@pytest.mark.parametrize("recipe", ["compact", "tiny"])
@pytest.mark.parametrize("candidates", [1, 2, 40])
@pytest.mark.parametrize("history", [30, 700])  # in a layout: one stretch; stretches and a rest
def test_the_user_side_once_scores_as_full_rows_do(
    recipe: str, candidates: int, history: int
) -> None:
    ranker, request, items = request_of(history, candidates, recipe=recipe)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        shared, whole = (way(ranker, request, items) for way in (once, rows))
    for task, logit in whole.items():
        assert logit.shape == (candidates,)
        torch.testing.assert_close(shared[task], logit, rtol=1e-4, atol=1e-4)
        assert candidates < 40 or logit.std() > 0.01
