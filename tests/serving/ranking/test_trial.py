"""A version is tried with rows of every kind before it serves, and its scores are looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hemix.features.transform.statistics import Statistics
from hemix.models.data.toy import toy_spec
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.versions.inference import Scorer
from hemix.serving.messages.soundness import UnsoundScores, require_sound
from hemix.serving.ranking.trial import require_finite_weights, rows, try_out

NOTHING = Statistics(rows=0, features={})


@pytest.fixture
def scorer() -> Scorer:
    torch.manual_seed(3)
    return Scorer(HeMix(toy_spec(), HeMixConfig(token_width=8)))


def spoil(scorer: Scorer, value: float, *, rows: slice = slice(None)) -> str:
    """Fill rows of the largest table, or all of it, with ``value``; its name."""
    weights = {n: w for n, w in scorer.ranker.state_dict().items() if w.is_floating_point()}
    name = max(weights, key=lambda n: weights[n].numel())
    weights[name][rows] = value
    return name


def test_a_good_version_passes(scorer: Scorer, caplog: pytest.LogCaptureFixture) -> None:
    require_finite_weights("v", scorer)
    try_out("v", scorer, NOTHING)
    assert not caplog.messages


def test_rows_hold_known_unknown_and_missing_ids_and_all_lengths(scorer: Scorer) -> None:
    spec = scorer.spec
    made = list(rows(spec, NOTHING))
    again = list(rows(spec, NOTHING))
    assert str(made) == str(again), "every start tries the same"
    for feature in spec.categorical:
        side = [items if feature.side == "item" else user for user, items in made]
        found = np.concatenate([columns[feature.name] for columns in side])
        assert {0, 1, spec.vocabulary(feature.vocabulary).size - 1} <= set(found.tolist())
    for sequence in spec.sequences:
        lengths = {int(user[sequence.columns[0].column][1][-1]) for user, _ in made}
        assert {0, 1, sequence.max_length} <= lengths


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_found_and_named(scorer: Scorer, value: float) -> None:
    name = spoil(scorer, value, rows=slice(3, 4))
    with pytest.raises(UnsoundScores, match=f"weights of {name} are no numbers"):
        require_finite_weights("v", scorer)


def test_scores_that_overflow_are_found(scorer: Scorer) -> None:
    for name, weight in scorer.ranker.state_dict().items():
        if weight.is_floating_point() and "embed" not in name:
            weight *= 1e25
    require_finite_weights("v", scorer)
    with pytest.raises(UnsoundScores, match=r"Version v: \w+ of .* is no probability"):
        try_out("v", scorer, NOTHING)


def test_a_version_that_says_the_same_of_everything_is_mentioned(
    scorer: Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    logging.getLogger("hemix").propagate = True
    for weight in scorer.ranker.state_dict().values():
        if weight.is_floating_point():
            weight.zero_()
    try_out("v", scorer, NOTHING)
    assert any("Version v says 0.5 of everything" in line for line in caplog.messages)


@pytest.mark.parametrize(
    "wrong",
    [
        [0.5, np.nan],
        [np.inf, 0.5],
        [0.5, -np.inf],
        [0.5, 1.0000001],
        [-0.1, 0.5],
        [0.5],
        [[0.5, 0.5]],
    ],
)
def test_what_is_no_probability_of_each_candidate_is_refused(wrong: object) -> None:
    good = np.array([0.0, 1.0], np.float32)
    require_sound("v", {"click": good}, 2)
    with pytest.raises(UnsoundScores, match="Version v: like"):
        require_sound("v", {"click": good, "like": np.array(wrong, np.float32)}, 2)
    with pytest.raises(UnsoundScores, match="no task"):
        require_sound("v", {}, 2)
