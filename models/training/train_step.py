"""One training step: forward and backward pass, optimizer step."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from hemix.errors import DefinitionError, EnvironmentProblem
from hemix.models.data.batch import Batch
from hemix.models.layers import batch_rng
from hemix.models.layers.compiling import load_compiler
from hemix.models.rankers.base import Ranker
from hemix.models.training.distributed import World
from hemix.models.training.losses import multi_task_bce
from hemix.models.training.optimizers import make_optimizers, set_rates
from hemix.models.training_config import TrainingConfig


class Steps:
    """Takes steps on ``ranker``; ``average`` holds the moving average of its weights, if wanted.

    A batch is worked off in ``config.accumulate`` parts, one after the other, each with the random
    numbers and the padding that it has in the whole batch, and with the weight of its rows: the
    gradient is that of the batch, and memory that of a part. A batch of few rows has fewer parts.
    ``backend``: of torch's compiler, where ``config`` compiles.
    """

    def __init__(
        self, ranker: Ranker, config: TrainingConfig, world: World, *, backend: str = "inductor"
    ) -> None:
        self.ranker, self.config, self.world = ranker, config, world
        self.parallel = world.wrap(ranker)
        self.forward = compiled(self.parallel, config, world.device, backend)
        self.optimizers = make_optimizers(ranker, config)
        self.average: dict[str, Tensor] | None = None
        if config.ema:
            self.average = {k: v.detach().clone() for k, v in ranker.named_parameters()}

    @property
    def rate(self) -> float:
        """The dense parameters' learning rate."""
        return float(self.optimizers["dense"].param_groups[0]["lr"])

    def take(self, batch: Batch, number: int, share: float) -> Tensor:
        """Step ``number`` (from 1) on this process's rows, at ``share`` of the full rates; the loss."""
        config = self.config
        set_rates(self.optimizers, config, share)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch)
        self.world.average_sparse(self.ranker)
        torch.nn.utils.clip_grad_norm_(self.ranker.dense_parameters(), config.clip_norm)
        for optimizer in self.optimizers.values():
            optimizer.step()
        if self.average is not None:
            # Early steps count less of the past, else the first random weights linger.
            keep = min(config.ema, (1 + number) / (10 + number))
            for name, value in self.ranker.named_parameters():
                self.average[name].lerp_(value.detach(), 1 - keep)
        return loss

    def _backward(self, batch: Batch) -> Tensor:
        """Add the batch's gradient up; its mean loss."""
        parts = self.config.accumulate
        if parts == 1:
            with self.world.chance(self.config.batch_size):
                return self._part(batch)
        # A data set of fewer rows than a batch is one small batch, of a process that is alone.
        size = batch.size * self.world.size
        mine = self.world.rows(size)
        cuts = [batch.size * at // parts for at in range(parts + 1)]
        parted = [slice(*ends) for ends in pairwise(cuts) if ends[0] < ends[1]]
        begin = torch.get_rng_state()
        on_gpu = torch.cuda.get_rng_state() if self.world.device.type == "cuda" else None
        everything = torch.arange(batch.size, device=self.world.device)
        losses = []
        for rows in parted:
            torch.set_rng_state(begin)
            if on_gpu is not None:
                torch.cuda.set_rng_state(on_gpu)
            in_all = slice(mine.start + rows.start, mine.start + rows.stop)
            with (
                batch_rng.batch_rows(local=in_all, global_size=size),
                self._alone(last=rows is parted[-1]),
            ):
                part = batch.part(everything, rows)
                weight = len(parted) * part.size / batch.size
                losses.append(self._part(part, parts=len(parted), weight=weight))
        return torch.stack(losses).mean()

    def _part(self, batch: Batch, *, parts: int = 1, weight: float = 1.0) -> Tensor:
        """Add up the gradient of one of ``parts``; its loss times ``weight``, 1 of equal ones."""
        config, device = self.config, self.world.device
        precision = torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16"
        )
        with self._looked_up(batch):
            with precision:
                logits = self.forward(batch)
            loss = multi_task_bce(
                logits, batch.labels, config.task_weights, config.given, config.given_loss
            )
            if (extra := self.ranker.auxiliary_loss(batch)) is not None:
                loss = loss + extra
            loss = loss * weight
            (loss / parts).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _looked_up(self, batch: Batch) -> contextlib.AbstractContextManager[None]:
        # The compiler would see new tensors on the module at every step, and compile again.
        if self.config.fused_lookup and self.config.compile == "none":
            return self.ranker.embedding.looked_up(batch)
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def _alone(self, *, last: bool) -> Iterator[None]:
        """Gradients are averaged over the processes once, with the last part."""
        parallel = self.parallel
        if last or not isinstance(parallel, nn.parallel.DistributedDataParallel):
            yield
            return
        with parallel.no_sync():
            yield


def compiled(
    model: nn.Module, config: TrainingConfig, device: torch.device, backend: str = "inductor"
) -> nn.Module:
    """``model`` through torch's compiler, when ``config`` says so.

    A CUDA graph is of one shape, and the number of events differs from batch to batch: torch would
    record another graph for every number. So kernels of such shapes run without a graph, and
    graphs hold the rest (fields, tokens, towers), whose shapes are those of a batch.

    Raises:
        DefinitionError: CUDA graphs without a GPU.
        EnvironmentProblem: the machine has no C++ compiler; TensorFlow was imported before Triton.
    """
    if config.compile == "none":
        return model
    if config.compile == "cuda_graphs" and device.type != "cuda":
        raise DefinitionError(
            "training.compile=cuda_graphs needs a GPU, and this process trains on the CPU.",
            hint="Set training.compile=inductor or none.",
        )
    compiler = os.environ.get("CXX", "g++")
    native = backend == "inductor" and device.type == "cpu"
    if native and not (shutil.which(compiler) or shutil.which("clang++")):
        raise EnvironmentProblem(
            f"training.compile={config.compile} needs a C++ compiler, and there is no {compiler!r}.",
            hint="Install g++ (or name another in CXX), or set training.compile=none.",
        )
    options: dict[str, Any] | None = None
    if config.compile == "cuda_graphs":
        options = {"triton.cudagraphs": True, "triton.cudagraph_skip_dynamic_graphs": True}
    load_compiler()
    result = torch.compile(model, backend=backend, options=options)
    assert isinstance(result, nn.Module)
    return result
