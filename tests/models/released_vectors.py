"""Hold what is built here to numbers that the authors' released code computed.

``python -m tests.models.released_vectors FOLDER...`` takes folders of an ``index.json`` and the
``.npz`` files that it names. Each file is one module with one setting: inputs, weights, outputs,
gradients. The index says which module it is; the adapter of that name (:mod:`tests.models.released`)
builds ours with the file's weights and computes what is to be compared.

Shapes and settings come from the index and the arrays alone. Every key of a file must be read as an
input, compared, or left out with a reason: a key that an adapter does not know is a failure.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.models import released


@dataclass(kw_only=True)
class Case:
    """One file: its arrays as float64 tensors, its settings, and what became of each key."""

    folder: Path
    file: str
    module: str
    hyper: Mapping[str, Any]
    rtol: float
    atol: float
    to_largest: bool
    """Whether ``rtol`` is a share of the key's largest number, or of each number."""
    arrays: Mapping[str, np.ndarray]
    used: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    compared: dict[str, float] = field(default_factory=dict)
    """Key -> the largest difference, as a share of what is allowed."""

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def read(self, key: str) -> Tensor:
        """An input without gradient: float64, or int64 of whole numbers."""
        self.used.add(key)
        array = self.arrays[key]
        kind = np.int64 if array.dtype.kind in "iub" else np.float64
        return torch.from_numpy(array.astype(kind))

    def leaf(self, key: str) -> Tensor:
        """An input or weight whose gradient is wanted."""
        return self.read(key).requires_grad_()

    def leaves(self, keys: Iterable[str]) -> dict[str, Tensor]:
        """Several of them, by key."""
        return {key: self.leaf(key) for key in keys}

    def keys(self, pattern: str) -> list[str]:
        """The keys that match ``pattern`` whole; numbers within are in rising order."""
        found = [key for key in self.arrays if re.fullmatch(pattern, key)]
        return sorted(found, key=lambda key: [int(n) for n in re.findall(r"\d+", key)])

    def equal(self, key: str, ours: Tensor) -> None:
        """Hold ``ours`` to the file's ``key``."""
        theirs = torch.from_numpy(self.arrays[key].astype(np.float64))
        ours = ours.detach().double()
        if ours.shape != theirs.shape:
            ours = ours.reshape(theirs.shape)
        scale = theirs.abs().max() if self.to_largest and theirs.numel() else theirs.abs()
        share = (ours - theirs).abs() / (self.atol + self.rtol * scale)
        self.compared[key] = float(share.max()) if share.numel() else 0.0

    def gradients(
        self,
        loss: Tensor,
        leaves: Mapping[str, Tensor],
        name: Callable[[str], str] = lambda key: f"grad_{key}",
    ) -> None:
        """Hold the gradients of ``loss`` to the keys ``name(leaf)`` that the file has; a leaf that
        ``loss`` does not reach has the gradient 0."""
        wanted = {name(key): leaf for key, leaf in leaves.items() if name(key) in self.arrays}
        found = torch.autograd.grad(
            loss, list(wanted.values()), retain_graph=True, allow_unused=True
        )
        for (key, leaf), gradient in zip(wanted.items(), found, strict=True):
            self.equal(key, torch.zeros_like(leaf) if gradient is None else gradient)

    def leave_out(self, pattern: str, reason: str) -> None:
        """Keys that match are not compared, for ``reason``."""
        for key in self.keys(pattern):
            self.left_out[key] = reason

    @property
    def failures(self) -> list[str]:
        """What is wrong with this file, a line each."""
        far = [f"{k}: {v:.3g} times the tolerance" for k, v in self.compared.items() if not v <= 1]
        known = {*self.used, *self.left_out, *self.compared}
        return far + [f"{key}: not looked at" for key in self.arrays if key not in known]


Adapter = Callable[[Case], None]
ADAPTERS: dict[str, Adapter] = {}
"""By the ``module`` of an index; every module of :mod:`tests.models.released` adds its own."""


def adapter(*modules: str) -> Callable[[Adapter], Adapter]:
    """Register an adapter for the modules that an index calls so, or that begin so."""

    def register(function: Adapter) -> Adapter:
        for module in modules:
            assert module not in ADAPTERS, module
            ADAPTERS[module] = function
        return function

    return register


def find(module: str) -> Adapter | None:
    """The adapter of the longest name that ``module`` is or begins with."""
    load_adapters()
    names = [name for name in ADAPTERS if module == name or module.startswith(name)]
    return ADAPTERS[max(names, key=len)] if names else None


def load_adapters() -> None:
    """Import every module of :mod:`tests.models.released`."""
    for found in pkgutil.iter_modules(released.__path__):
        importlib.import_module(f"{released.__name__}.{found.name}")


def entries(folder: Path) -> list[dict[str, Any]]:
    """The index's entries, one a file; both forms of an index are read."""
    index = json.loads((folder / "index.json").read_text())
    listed = index.get("files") or index.get("modules")
    if isinstance(listed, Mapping):
        return [{"file": file, **entry} for file, entry in listed.items()]
    assert isinstance(listed, list), f"{folder}/index.json names no files"
    return listed


def read(folder: Path, entry: Mapping[str, Any]) -> Case:
    """The case of one entry."""
    tolerance = entry.get("tolerance", {}).get("float64") or entry
    with np.load(folder / entry["file"]) as arrays:
        return Case(
            folder=folder,
            file=entry["file"],
            module=entry["module"],
            hyper=entry.get("hyper", {}),
            rtol=tolerance["rtol"],
            atol=tolerance["atol"],
            to_largest="tolerance" not in entry,
            arrays=dict(arrays),
        )


def check(case: Case) -> Case:
    """Run the adapter; the case holds what came out.

    Raises:
        LookupError: there is no adapter for the module.
    """
    found = find(case.module)
    if found is None:
        raise LookupError(f"{case.file}: there is no adapter for {case.module!r}")
    with torch.enable_grad():
        found(case)
    return case


def main(folders: Sequence[str]) -> int:
    """Check every file of ``folders``; how many failed."""
    failed = 0
    for folder in map(Path, folders):
        for entry in entries(folder):
            case = read(folder, entry)
            try:
                failures = check(case).failures
            except LookupError as error:
                failures = [str(error)]
            failed += bool(failures)
            worst = max(case.compared.values(), default=0.0)
            count = f"{len(case.compared)} compared, {len(case.left_out)} left out"
            verdict = "FAILED" if failures else "equal" if case.compared else "not built"
            print(
                f"{folder.name}/{case.file}: {verdict}; {count}; at most {worst:.2g} of the tolerance"
            )
            for line in failures[:20]:
                print(f"    {line}")
    return failed


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    # This module, not the one that runs as __main__, holds the adapters.
    sys.exit(min(importlib.import_module("tests.models.released_vectors").main(sys.argv[1:]), 1))
