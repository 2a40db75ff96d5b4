"""Several processes that train as one: each has the whole model and its share of every batch.

Axes: ``W`` processes (the world), ``B`` rows of the global batch, ``V`` rows of a table, ``E`` its
width.

The course of a training depends on the global batch only. Every process walks through the same
global batches and takes ``B / W`` neighbouring rows of each; the mean over processes of the mean
gradients of equal shares is the mean gradient of the batch. Random numbers are drawn for the whole
batch (:mod:`hemix.models.layers.batch_rng`). So W processes differ from one by the rounding of sums only.

Dense gradients are averaged by DistributedDataParallel. Sparse tables are left out of it: their
gradients hold a batch's rows only, and NCCL does not sum sparse tensors; each process gathers the
rows and values of all and adds them up in the order of the ranks, to the same bits everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hemix.models.layers import batch_rng
from hemix.models.rankers.base import Ranker
from hemix.models.training.objectives.objective import Objective

T = TypeVar("T")


def pick_device() -> torch.device:
    """CUDA when there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together, seen from one of them; by default it is alone.

    ``rank``: which of ``size`` this is; ``device``: where its model lies.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=pick_device)

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and tells how it goes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.size == 1

    def rows(self, size: int) -> slice:
        """This process's rows of a batch of ``size`` rows."""
        return slice(size * self.rank // self.size, size * (self.rank + 1) // self.size)

    def wrap(self, ranker: Ranker) -> nn.Module:
        """``ranker`` with its gradients averaged over the world; itself when alone."""
        if self.alone:
            return ranker
        # DistributedDataParallel waits for every gradient, so what never gets one stays out of it.
        left_out = {name for name, p in ranker.named_parameters() if _outside(ranker, p)}
        parallel = nn.parallel.DistributedDataParallel
        parallel._set_params_and_buffers_to_ignore_for_model(ranker, left_out)  # type: ignore[no-untyped-call]
        return parallel(ranker, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def average_sparse(self, ranker: Ranker) -> None:
        """Replace the sparse gradients ``[V, E]`` of the tables by their means over the world."""
        if self.alone:
            return
        for parameter in ranker.embedding_parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = self._summed(parameter.grad) / self.size

    def _summed(self, gradient: Tensor) -> Tensor:
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        own = torch.tensor([len(rows)], device=rows.device)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        counts = [int(count) for count in found]
        longest = max(counts)
        # all_gather wants equal shapes: pad, and cut again.
        padded_rows = rows.new_zeros(longest)
        padded_rows[: len(rows)] = rows
        padded_values = values.new_zeros(longest, *values.shape[1:])
        padded_values[: len(values)] = values
        all_rows = [torch.empty_like(padded_rows) for _ in counts]
        all_values = [torch.empty_like(padded_values) for _ in counts]
        dist.all_gather(all_rows, padded_rows)
        dist.all_gather(all_values, padded_values)
        parts = [(r[:n], v[:n]) for r, v, n in zip(all_rows, all_values, counts, strict=True)]
        return torch.sparse_coo_tensor(
            torch.cat([r for r, _ in parts])[None],
            torch.cat([v for _, v in parts]),
            gradient.shape,
        ).coalesce()

    def joined(self, rows: Tensor) -> Tensor:
        """The rows ``[B / W, ...]`` of every process, one after the other: ``[B, ...]``, no gradient."""
        if self.alone:
            return rows.detach()
        own = rows.detach().contiguous()
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        return torch.cat(found)

    def mean(self, value: float) -> float:
        """The mean of every process's ``value``, the same bits in all of them."""
        if self.alone:
            return value
        own = torch.tensor([value], dtype=torch.float64, device=self.device)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        return sum(float(one) for one in found) / self.size

    def gather(self, value: T) -> list[T]:
        """Every process's ``value``, in the order of the ranks."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def spread(
        self, loaded: tuple[dict[str, Tensor], dict[str, Any]] | None
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The leader's checkpoint (or None) in every process; the others' is not looked at."""
        if self.alone:
            return loaded
        shapes = {k: (tuple(v.shape), v.dtype) for k, v in loaded[0].items()} if loaded else {}
        box: list[Any] = [(shapes, loaded[1]) if loaded else None]
        dist.broadcast_object_list(box, src=0)
        if box[0] is None:
            return None
        shapes, state = box[0]
        tensors: Mapping[str, Tensor] = (
            loaded[0]
            if loaded and self.leads
            else {name: torch.empty(shape, dtype=kind) for name, (shape, kind) in shapes.items()}
        )
        for tensor in tensors.values():
            dist.broadcast(tensor, src=0)
        return dict(tensors), state

    @contextmanager
    def chance(self, size: int) -> Iterator[None]:
        """Inside, layers draw for a batch of ``size`` rows of which this process has its share."""
        if self.alone:
            yield
            return
        with batch_rng.batch_rows(local=self.rows(size), global_size=size):
            yield


def _outside(ranker: Ranker, parameter: nn.Parameter) -> bool:
    objective = ranker.objective
    compared = objective.group_ce if isinstance(objective, Objective) else None
    if compared is not None and any(parameter is own for own in compared.parameters()):
        return True  # each process works the whole batch's comparisons out
    tables = {id(p) for p in ranker.embedding_parameters()}
    if ranker.embedding.config.sparse and id(parameter) in tables:
        return True
    both = ((e.directions, e.buckets.weight) for e in ranker.embeddings.values())
    numeric = {id(one) for pair in both for one in pair}
    return not ranker.spec.numeric and id(parameter) in numeric


@contextmanager
def joined() -> Iterator[World]:
    """The world that torchrun started this process in (RANK, WORLD_SIZE and so on).

    Gloo carries what lies in memory and NCCL what lies on GPUs; a machine with fewer GPUs than
    processes trains on its CPUs.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cpu")
    if torch.cuda.is_available() and torch.cuda.device_count() >= here:
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(rank=rank, size=size, device=device)
    finally:
        dist.destroy_process_group()
