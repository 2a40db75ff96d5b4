"""One training step: forward and backward pass, optimizer step."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
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
from hemix.models.training.objectives.groups import Rows
from hemix.models.training.objectives.objective import QUANTISED, Objective, Told
from hemix.models.training.optimizers import make_optimizers, set_rates
from hemix.models.training_config import TrainingConfig

Passes = dict[str, dict[str, Tensor]]
"""Of each pass of a batch, of each task: a tensor ``[B]``."""
OWN = "ranker"
"""The name of what a ranker adds to its loss by itself."""


class Steps:
    """Takes steps on ``ranker``; ``average`` holds the moving average of its weights, if wanted.

    A batch is worked off in ``config.accumulate`` parts, one after the other, each with the random
    numbers and the padding that it has in the whole batch, and with the weight of its rows: the
    gradient is that of the batch, and memory that of a part. A batch of few rows has fewer parts.
    ``told`` holds the terms of the last step's loss by name.
    ``backend``: of torch's compiler, where ``config`` compiles.
    """

    def __init__(
        self, ranker: Ranker, config: TrainingConfig, world: World, *, backend: str = "inductor"
    ) -> None:
        self.ranker, self.config, self.world = ranker, config, world
        self.parallel = world.wrap(ranker)
        self.forward = compiled(self.parallel, config, world.device, backend)
        self.optimizers = make_optimizers(ranker, config)
        assert isinstance(ranker.objective, Objective), "Recipe.build sets the objective"
        self.objective = ranker.objective
        self.told: Told = {}
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
        self.objective.require_all(self.told)
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
        """Add the batch's gradient up; its mean loss. ``told`` says what it is made of."""
        self.objective.prepare(self.ranker, batch, self.world.joined)
        if not self.config.objective.compares:
            losses = [self._part(part, parts, batch.size) for part, parts in self._parts(batch)]
            self.told = _means([told for _, told in losses])
            return torch.stack([loss for loss, _ in losses]).mean()
        return self._compared(batch)

    def _parts(self, batch: Batch, *, last: bool = True) -> Iterator[tuple[Batch, int]]:
        """The parts of ``batch``, and how many there are; inside, chance is that of the whole batch.

        ``last``: the last one's backward pass averages the gradients over the processes.
        """
        parts = self.config.accumulate
        if parts == 1:
            with self.world.chance(self.config.batch_size):
                yield batch, 1
            return
        # A data set of fewer rows than a batch is one small batch, of a process that is alone.
        size = batch.size * self.world.size
        mine = self.world.rows(size)
        cuts = [batch.size * at // parts for at in range(parts + 1)]
        parted = [slice(*ends) for ends in pairwise(cuts) if ends[0] < ends[1]]
        begin = torch.get_rng_state()
        on_gpu = torch.cuda.get_rng_state() if self.world.device.type == "cuda" else None
        everything = torch.arange(batch.size, device=self.world.device)
        for rows in parted:
            torch.set_rng_state(begin)
            if on_gpu is not None:
                torch.cuda.set_rng_state(on_gpu)
            in_all = slice(mine.start + rows.start, mine.start + rows.stop)
            with (
                batch_rng.batch_rows(local=in_all, global_size=size),
                self._alone(last=last and rows is parted[-1]),
            ):
                yield batch.part(everything, rows), len(parted)

    def _part(self, batch: Batch, parts: int, whole: int) -> tuple[Tensor, Told]:
        """Add up the gradient of one of ``parts`` of a batch of ``whole`` rows.

        Its loss, times its weight: 1 of equal ones.
        """
        weight = parts * batch.size / whole
        with self._looked_up(batch):
            with self._precision():
                logits = self.forward(batch)
            loss, told = self.objective.pointwise(self.ranker, batch, logits, self.config)
            if (extra := self.ranker.auxiliary_loss(batch)) is not None:
                loss, told = loss + extra, told | {OWN: extra.detach()}
            loss = loss * weight
            (loss / parts).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), {name: value * weight for name, value in told.items()}

    # ---- terms that compare rows ---------------------------------------------------------------

    def _compared(self, batch: Batch) -> Tensor:
        """The same for an objective that compares rows of the whole batch with each other.

        First all scores of the batch, of every part and process; then the loss and its gradient by
        each score, the same in every process; then backward from the scores of this process's rows.
        Of several parts the scores are worked out twice, so that memory is that of one part.
        """
        users = self._learn(batch)
        parts = self.config.accumulate
        if parts == 1:
            with self.world.chance(self.config.batch_size), self._looked_up(batch):
                logits, own = self._passes(batch, self.forward, self.parallel)
                loss, told, slopes = self._loss(batch, logits, users)
                more = self._descend(batch, logits, own, slopes, batch.size)
            return self._ended(loss, told, [more])
        scored: list[Passes] = []
        gpus = [self.world.device] if self.world.device.type == "cuda" else []
        # The second time draws what the first drew.
        with torch.no_grad(), torch.random.fork_rng(devices=gpus):
            for part, _ in self._parts(batch, last=False):
                with self._looked_up(part):
                    scored.append(self._passes(part, self.ranker, self.ranker)[0])
        whole = {
            view: {task: torch.cat([one[view][task] for one in scored]) for task in tasks}
            for view, tasks in scored[0].items()
        }
        loss, told, slopes = self._loss(batch, whole, users)
        others, start = [], 0
        for part, _ in self._parts(batch):
            with self._looked_up(part):
                logits, own = self._passes(part, self.forward, self.parallel)
                rows = slice(start, start + part.size)
                mine = {v: {t: g[rows] for t, g in tasks.items()} for v, tasks in slopes.items()}
                others.append(self._descend(part, logits, own, mine, batch.size))
                start += part.size
        return self._ended(loss, told, others)

    def _learn(self, batch: Batch) -> Tensor | None:
        """Let codebooks follow the users of the whole batch, each once; every row's user."""
        objective = self.objective
        if objective.group_ce is None:
            return None
        users = self.world.joined(objective.user_rows(self.ranker, batch))
        table = objective.table(self.ranker)
        objective.group_ce.learn(torch.unique(users), table)
        return users

    def _passes(
        self, batch: Batch, forward: nn.Module, plain: nn.Module
    ) -> tuple[Passes, Tensor | None]:
        """Logits of this process's rows as they are, on shared states, and with quantised users.

        And what the ranker adds to its loss after the first of these passes.
        """
        objective, embedding = self.objective, self.ranker.embedding
        passes: Passes = {}
        with self._precision():
            passes["live"] = forward(batch)
            own = self.ranker.auxiliary_loss(batch)
            for by in batch.shared:
                passes[by] = forward(batch.on_state(by))
            if objective.quantises:
                assert objective.group_ce is not None
                vectors = objective.group_ce.codebooks.quantised(
                    embedding.rows(objective.user_field, batch).float()
                )
                with embedding.replaced(objective.user_field.name, vectors):
                    passes[QUANTISED] = plain(batch)
        return passes, own

    def _loss(
        self, batch: Batch, logits: Passes, users: Tensor | None
    ) -> tuple[Tensor, Told, Passes]:
        """The loss of the whole batch, what it is made of, and its slope by this process's logits."""
        world, objective = self.world, self.objective
        whole = {
            view: {task: world.joined(z).float().requires_grad_() for task, z in tasks.items()}
            for view, tasks in logits.items()
        }
        codes = None
        if objective.group_ce is not None:
            assert users is not None
            codes = objective.group_ce.codes(objective.table(self.ranker)[users])
        rows = Rows(
            logits=whole,
            labels={task: world.joined(label) for task, label in batch.labels.items()},
            keys={name: world.joined(key) for name, key in batch.keys.items()},
        )
        loss, told = objective.comparing(rows, codes, self.config)
        loss.backward()  # type: ignore[no-untyped-call]
        mine = slice(batch.size * world.rank, batch.size * (world.rank + 1))

        def slope(z: Tensor) -> Tensor:
            # The mean over processes is taken of what each adds to a sum.
            return z.new_zeros(batch.size) if z.grad is None else z.grad[mine] * world.size

        slopes = {view: {t: slope(z) for t, z in tasks.items()} for view, tasks in whole.items()}
        return loss.detach(), told, slopes

    def _descend(
        self, batch: Batch, logits: Passes, own: Tensor | None, slopes: Passes, whole: int
    ) -> Told:
        """Backward from the logits of one part; and from auxiliary terms, which it returns."""
        share = batch.size / whole
        with self._precision():
            others = self.objective.auxiliaries(self.ranker, batch)
        if own is not None:
            others[OWN] = own
        ends = [
            (z, slopes[v][t].to(z.dtype)) for v, tasks in logits.items() for t, z in tasks.items()
        ]
        ends += [
            (loss, torch.full_like(loss, self._weight(name) * share))
            for name, loss in others.items()
        ]
        torch.autograd.backward([end for end, _ in ends], [slope for _, slope in ends])
        return {name: loss.detach() * share for name, loss in others.items()}

    def _ended(self, loss: Tensor, told: Told, others: Sequence[Told]) -> Tensor:
        sums = {name: torch.stack([one[name] for one in others]).sum() for name in others[0]}
        self.told = told | sums
        return loss + sum(self._weight(name) * value for name, value in sums.items())

    def _weight(self, auxiliary: str) -> float:
        terms = self.config.objective.active()
        return 1.0 if auxiliary == OWN else terms[auxiliary].weight

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(
            self.world.device.type,
            dtype=torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
        )

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


def _means(parts: Sequence[Told]) -> Told:
    return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


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
