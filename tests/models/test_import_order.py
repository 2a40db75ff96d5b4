"""Modules may be imported in any order: none of them brings Triton, which TensorFlow does not bear."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MODULES = [
    "tensorflow",
    "torch",
    "hemix.models.rankers.hemix.model",
    "hemix.models.rankers.hemix.variants",
    "hemix.models.training.train_step",
    "hemix.models.versions.inference",
    "hemix.models.versions.version",
    "hemix.features.transform.graph",
    "hemix.features.transform.pruned",
    "hemix.serving.ranking.loaded_version",
    "hemix.serving.registry.registry",
    "hemix.components.train.step",
]


@pytest.mark.parametrize("turn", [1, -1], ids=["tensorflow first", "tensorflow last"])
def test_any_order(turn: int) -> None:
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    program += (
        "print(sorted(name for name in ('torch._dynamo', 'triton') if sys.modules.get(name)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *MODULES[::turn]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_the_kernel_after_tensorflow_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from hemix.errors import EnvironmentProblem
    from hemix.models.layers.compiling import load_triton

    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    with pytest.raises(EnvironmentProblem, match="before Triton"):
        load_triton()


@pytest.mark.parametrize("first", ["tensorflow", "hemix.models.training.optimizers"])
def test_training_goes_on_after_tensorflow_whoever_imported_it(first: str) -> None:
    program = f"""
import importlib
importlib.import_module({first!r})
import tensorflow
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.training.optimizers import make_optimizers
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.training_config import TrainingConfig
model = HeMix(toy_spec(), HeMixConfig(token_width=8))
optimizers = make_optimizers(model, TrainingConfig())
sum(logit.sum() for logit in model(toy_batch(rows=3)).values()).backward()
for optimizer in optimizers.values():
    optimizer.step()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
