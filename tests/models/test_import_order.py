"""Modules may be imported in any order: none of them brings Triton, which TensorFlow does not bear."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = [
    "tensorflow",
    "torch",
    "models.hemix",
    "models.hemix_variants",
    "models.steps",
    "models.inference",
    "models.version",
    "features.transform.graph",
    "features.transform.pruned",
    "serving.version",
    "serving.registry",
    "components.train.step",
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
    from models.compiling import load_triton

    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    with pytest.raises(EnvironmentProblem, match="before Triton"):
        load_triton()


@pytest.mark.parametrize("first", ["tensorflow", "models.optimizers"])
def test_training_goes_on_after_tensorflow_whoever_imported_it(first: str) -> None:
    program = f"""
import importlib
importlib.import_module({first!r})
import tensorflow
from models.hemix import HeMix
from models.hemix_config import HeMixConfig
from models.optimizers import make_optimizers
from models.toy import toy_batch, toy_spec
from models.training import TrainingConfig
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
