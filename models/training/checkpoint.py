"""Checkpoints: one safetensors file, replaced atomically, that holds all a training is.

Tensors: ``model.*``, ``average.*`` (when there is one), ``best.*``, the optimisers' states and the
random states of torch. The rest (position, history, best score) stands as JSON in the metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hemix.errors import StorageError
from hemix.files import atomic_file

NAME = "checkpoint.safetensors"


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimiser's state as ``<prefix>.<parameter>.<name>`` tensors."""
    return {
        f"{prefix}.{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Put the state of :func:`optimizer_tensors` back; groups stay as the optimiser has them."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}."):
            _, index, name = key.rsplit(".", 2)
            state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def random_tensors() -> dict[str, Tensor]:
    """The states of torch's generators: the CPU's, and that of the GPU in use."""
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(tensors: Mapping[str, Tensor]) -> None:
    """Put the states of :func:`random_tensors` back."""
    torch.set_rng_state(tensors["random.cpu"].cpu())
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"].cpu())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes and bytes."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        whole = value.detach().cpu().contiguous()
        total.update(f"{name}{list(whole.shape)}{whole.dtype}".encode())
        total.update(whole.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def save(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Replace the folder's checkpoint.

    Raises:
        StorageError: the disk is full or not writable; the old checkpoint is then still whole.
    """
    # Tensors that share memory (a best copy that is the model) are refused by safetensors.
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    with atomic_file(folder / NAME) as temporary:
        save_file(own, temporary, metadata={"state": json.dumps(dict(state))})


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint's tensors and state; None when there is none.

    Raises:
        StorageError: the file is not a whole checkpoint.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(metadata["state"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise StorageError(
            f"{path}: not a whole checkpoint ({error}).",
            hint="Delete it to train from the beginning.",
        ) from error
