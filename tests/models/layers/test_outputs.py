"""Tasks within tasks and calibration: losses and served scores against loops and scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from hemix.errors import DefinitionError
from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers.task_outputs import TaskOutputs, ordered, platt, product_logit
from hemix.models.metrics.pointwise import auc, conditional
from hemix.models.training.distributed import World
from hemix.models.training.losses import multi_task_bce
from hemix.models.training.recipes import recipe_of
from hemix.models.training.validation import evaluate, score
from hemix.models.training_config import GivenLoss
from hemix.models.versions.inference import Scorer, predict_batch
from hemix.models.versions.version import load, write
from tests.models.files import write_split
from tests.models.training.train_toy import toy_recipe, train
from tests.models.versions.test_inference import columns_of

WITHIN = {"training__given": "{long_view: click}"}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def bce(p: float, y: float) -> float:
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


@pytest.mark.parametrize("kind", ["masked", "esmm"])
def test_the_losses_of_a_task_within_a_task_are_those_of_a_loop(kind: GivenLoss) -> None:
    random = torch.Generator().manual_seed(0)
    logits = {t: torch.randn(40, generator=random) for t in ("click", "buy")}
    labels = {t: (torch.rand(40, generator=random) < 0.5).float() for t in ("click", "buy")}
    weights = {"buy": 0.7}
    expected = 0.0
    for row in range(40):
        z, y = ({t: float(v[row]) for t, v in part.items()} for part in (logits, labels))
        expected += bce(sigmoid(z["click"]), y["click"])
        if kind == "masked":
            if y["click"] == 1:
                expected += 0.7 * bce(sigmoid(z["buy"]), y["buy"])
        else:
            product = sigmoid(z["click"]) * sigmoid(z["buy"])
            expected += 0.7 * bce(product, y["click"] * y["buy"])
    found = multi_task_bce(logits, labels, weights, {"buy": "click"}, kind)
    assert found.item() == pytest.approx(expected / 40, rel=1e-5)


def test_masked_rows_teach_the_task_nothing() -> None:
    logits = {t: torch.zeros(4, requires_grad=True) for t in ("click", "buy")}
    labels = {"click": torch.tensor([0.0, 0, 1, 1]), "buy": torch.tensor([1.0, 0, 1, 0])}
    multi_task_bce(logits, labels, {}, {"buy": "click"}).backward()
    gradient = logits["buy"].grad
    assert gradient is not None
    assert (gradient != 0).tolist() == [False, False, True, True]


def test_a_product_is_exact_where_probabilities_are_extreme() -> None:
    a = torch.tensor([-30.0, 30, 0, 12, -3], dtype=torch.float64)
    b = torch.tensor([0.0, 25, 0, -12, 40], dtype=torch.float64)
    found = product_logit(a, b)
    for z, x, y in zip(found.tolist(), a.tolist(), b.tolist(), strict=True):
        p = sigmoid(x) * sigmoid(y)
        rest = sigmoid(-x) + sigmoid(x) * sigmoid(-y)
        assert z == pytest.approx(math.log(p) - math.log(rest), rel=1e-12)
    extreme = product_logit(torch.tensor([-200.0, 200.0]), torch.tensor([3.0, 200.0]))
    assert torch.isfinite(extreme).all()


def test_tasks_in_a_row_multiply_and_circles_are_refused() -> None:
    given = ordered({"pay": "cart", "cart": "click"})
    assert list(given) == ["cart", "pay"]
    outputs = TaskOutputs(("click", "pay", "cart"), given)
    logits = {t: torch.tensor([float(i)]) for i, t in enumerate(("click", "pay", "cart"))}
    served = outputs(logits)
    expected = sigmoid(0.0) * sigmoid(2.0) * sigmoid(1.0)
    assert served["pay"].sigmoid().item() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(DefinitionError, match="circle"):
        recipe_of("compact", {"training.given": "{click: long_view, long_view: click}"})
    with pytest.raises(DefinitionError, match=r"training\.given.*'buy'"):
        recipe_of("compact", {"training.given.buy": "click"}).build(toy_spec())
    with pytest.raises(DefinitionError, match="refit"):
        recipe_of("compact", {"training.calibration": "platt", "training.refit": "true"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["masked", "esmm"])
def test_scores_served_are_of_every_impression(kind: str, tmp_path: Path) -> None:
    write_split(tmp_path / "train", rows=400, seed=0)
    write_split(tmp_path / "validation", rows=200, seed=5)
    recipe = toy_recipe(
        **WITHIN,
        training__given_loss=kind,
        training__refit="false",
        training__learning_rate="0.01",
        training__embedding_learning_rate="0.02",
        training__epochs="4",
        training__checkpoint_every_s="60",
    )
    trained = train(tmp_path, tmp_path / "checkpoints", recipe)
    ranker = trained.ranker
    reader = ParquetReader(toy_spec(), [tmp_path / "validation"], batch_size=64)
    logits, labels = score(ranker, reader, World())
    batch = Batch.concat(list(reader.epoch()))
    served = predict_batch(ranker, batch)
    pair = logits["click"].sigmoid() * logits["long_view"].sigmoid()
    np.testing.assert_allclose(served["long_view"], pair.numpy(), rtol=1e-5)
    np.testing.assert_allclose(
        conditional(served, "long_view", "click"), logits["long_view"].sigmoid(), rtol=1e-4
    )
    clicked = labels["click"].numpy() > 0
    measured = evaluate(ranker, reader)
    own = auc(labels["long_view"].numpy()[clicked], logits["long_view"].numpy()[clicked])
    assert measured["within"]["long_view"] == pytest.approx(own, abs=1e-6)
    everywhere = auc(labels["long_view"].numpy(), pair.numpy())
    assert measured["auc"]["long_view"] == pytest.approx(everywhere, abs=1e-6)
    assert measured["auc"]["long_view"] > 0.7
    assert trained.metrics["validation_long_view_within_auc"] > 0.5


@pytest.mark.parametrize("shifted", [True, False])
def test_platt_is_logistic_regression(shifted: bool) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=5000)
    labels = (random.random(5000) < 1 / (1 + np.exp(-(0.4 * logits - shifted)))).astype(float)
    scale, shift = platt(torch.from_numpy(logits), torch.from_numpy(labels), shifted=shifted)
    model = LogisticRegression(C=np.inf, fit_intercept=shifted, tol=1e-10)
    model.fit(logits[:, None], labels)
    # Platt's targets are a little inside of 0 and 1: 1 of 2,000 labels.
    assert scale == pytest.approx(model.coef_[0, 0], abs=2e-3)
    assert shift == pytest.approx(
        float(np.ravel(model.intercept_)[0]) if shifted else 0.0, abs=3e-3
    )


def test_a_calibration_stays_increasing_and_separable_rows_have_one() -> None:
    z = torch.linspace(-2, 2, 50, dtype=torch.float64)
    scale, _ = platt(z, (z < 0).double(), shifted=True)
    assert scale > 0
    scale, shift = platt(z, (z > 0).double(), shifted=True)
    assert 1 < scale < 100
    assert math.isfinite(shift)


@pytest.mark.slow
def test_a_calibration_is_fitted_saved_and_served(tmp_path: Path) -> None:
    write_split(tmp_path / "train", rows=200, seed=0)
    write_split(tmp_path / "validation", rows=200, seed=5)
    common = {"training__refit": "false", "training__checkpoint_every_s": "60"}
    plain = train(tmp_path, tmp_path / "a", toy_recipe(**common)).ranker
    recipe = toy_recipe(**common, training__calibration="platt")
    trained = train(tmp_path, tmp_path / "b", recipe)
    reader = ParquetReader(toy_spec(), [tmp_path / "validation"], batch_size=64)
    before, after = (evaluate(r, reader) for r in (plain, trained.ranker))
    assert after["auc"] == pytest.approx(before["auc"], abs=1e-9)
    for task in ("click", "long_view"):
        assert after["logloss"][task] < before["logloss"][task]
    (tmp_path / "transform").mkdir()
    write(
        tmp_path / "version",
        ranker=trained.ranker,
        recipe=recipe,
        transform=tmp_path / "transform",
        version="v",
        feature_service="s",
        training_window={},
        metrics={},
    )
    batch = toy_batch(rows=8)
    scores = predict_batch(load(tmp_path / "version").ranker, batch)
    assert np.array_equal(scores["click"], predict_batch(trained.ranker, batch)["click"])
    one = batch.take(torch.tensor([3]))
    served = Scorer.load(tmp_path / "version").score(
        columns_of(one, ("user", "context")), columns_of(one, ("item",))
    )
    np.testing.assert_allclose(served["click"], scores["click"][[3]], atol=1e-6)
    again = train(tmp_path, tmp_path / "b", recipe)  # from the checkpoint of the finished training
    assert torch.equal(again.ranker.outputs.get_buffer("scale"), trained.ranker.outputs.scale)
