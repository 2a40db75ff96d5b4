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
    program += "print(sorted({'triton', 'torch._dynamo'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program, *MODULES[::turn]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_what_would_abort_the_process_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from hemix.errors import EnvironmentProblem
    from models.compiling import load_compiler, load_triton

    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    for load in (load_compiler, load_triton):
        with pytest.raises(EnvironmentProblem, match="before Triton"):
            load()
