"""What every ranker is: a module from a batch to one logit per task, that can serve a request."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn

from hemix.models.data.batch import Batch
from hemix.models.embedding.tables import EmbeddingConfig, FeatureEmbedding
from hemix.models.layers.dense import Tower
from hemix.models.layers.named import Named
from hemix.models.layers.task_outputs import TaskOutputs
from hemix.models.search_space import Choice, Range, Space
from hemix.models.training_config import TrainingConfig
from hemix.spec import FeatureSpec, SequenceFeature, Side
from hemix.texts.frozen import Frozen

REQUEST_SIDES: tuple[Side, ...] = ("user", "context")
ITEM_SIDES: tuple[Side, ...] = ("item",)


class RankerConfig(Frozen):
    """What all rankers share. ``search`` says what ``hemix tune`` tries by default; a ranker adds its
    own fields to it.
    """

    search: ClassVar[Space] = {
        "embedding.width": Choice(choices=(8, 16, 32)),
        "embedding.id_dropout": Range(low=0.0, high=0.5),
        "dropout": Range(low=0.0, high=0.3),
    }

    embedding: EmbeddingConfig = EmbeddingConfig()
    """How ids and numbers become vectors."""
    tower: tuple[int, ...] = (128, 64)
    """Hidden widths of each task's own MLP; empty for one linear layer."""
    dropout: float = 0.0
    """Share of hidden units dropped in training, inside the ranker and its towers."""


class Ranker(nn.Module):
    """Base of all rankers.

    A subclass defines ``name``, ``config_type`` and ``forward``. ``encode_request`` and ``score_candidates`` split
    the forward pass of one request into what its candidates share and the rest; the versions here
    simply repeat the request's row, and a subclass overrides them to save work. Both ways give the
    same logits. ``outputs`` makes the served logits of them, and ``objective`` holds what the terms
    of the training have of a state, codebooks for one (:meth:`Recipe.build` sets both); nothing but
    the training calls it.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[RankerConfig]]
    interactions: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes whose weights cross features; FTRL may train them."""

    @classmethod
    def default_recipe(cls) -> tuple[RankerConfig, TrainingConfig]:
        """Shape and training of the recipe that carries the ranker's name.

        Here: the ranker's default shape with embeddings and training for logs of some 10^5
        impressions (docs/decisions/0004-training-recipe.md). A ranker that does best with others
        returns those.
        """
        shape = cls.config_type(embedding=EmbeddingConfig(width=8, id_dropout=0.2))
        return shape, TrainingConfig(
            batch_size=256, learning_rate=3e-3, embedding_learning_rate=3e-3
        )

    def __init__(self, spec: FeatureSpec, config: RankerConfig) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = FeatureEmbedding(spec, config.embedding, plain=self.keeps_narrow(config))
        self.outputs = TaskOutputs()
        self.objective: nn.Module = nn.Module()

    @classmethod
    def keeps_narrow(cls, config: RankerConfig) -> bool:
        """Whether narrow tables' rows enter as they are (zeros behind them), not mapped to one width."""
        return False

    def towers(self, width: int, config: RankerConfig) -> nn.ModuleDict:
        """One tower per task over a vector of ``width``."""
        return Named(
            {task.name: Tower(width, config.tower, config.dropout) for task in self.spec.tasks}
        )

    def width_of(self, sides: Collection[Side]) -> int:
        """Width of the concatenated field embeddings of ``sides``."""
        return self.embedding.field_count(sides) * self.embedding.config.width

    def vectors(self, batch: Batch) -> Tensor:
        """What rankers without a sequence reader see of a row: ``[B, V, E]``.

        The fields, then the mean over its events of every column of every sequence.
        """
        means = [self.embedding.mean(batch, sequence) for sequence in self.spec.sequences]
        return torch.cat([self.embedding.fields(batch), *means], 1)

    @property
    def vector_count(self) -> int:
        """V of :meth:`vectors`."""
        columns = sum(len(sequence.columns) for sequence in self.spec.sequences)
        return self.embedding.field_count() + columns

    @property
    def vector_names(self) -> tuple[str, ...]:
        """For people: the vectors of a row as this ranker sees them, in order."""
        return (*self.embedding.field_names(), *self.mean_names)

    @property
    def mean_names(self) -> tuple[str, ...]:
        """For people: the mean event of every sequence, column by column."""
        return tuple(
            f"{sequence.name} {column.role} (mean)"
            for sequence in self.spec.sequences
            for column in sequence.columns
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        raise NotImplementedError

    def encode_request(self, request: Batch) -> object:
        """What all candidates of one request share; ``request`` has 1 row of user and context."""
        return request

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task of the ``B`` candidates ``items`` (item columns only)."""
        assert isinstance(state, Batch)
        rows = torch.zeros(items.size, dtype=torch.int64, device=next(self.parameters()).device)
        return self.forward(state.take(rows).beside(items))

    def set_progress(self, share: float) -> None:
        """Told before every step of a training which share of its steps has begun, in (0, 1]."""

    def auxiliary_loss(self, batch: Batch) -> Tensor | None:
        """What training adds to the tasks' loss after ``forward(batch)``, a mean over its rows."""
        return None

    @property
    def embeddings(self) -> dict[str, FeatureEmbedding]:
        """Every set of tables by the name of its attribute."""
        return {"embedding": self.embedding}

    def embedding_parameters(self) -> list[nn.Parameter]:
        """The tables (not the directions of numbers, which are dense)."""
        tables = [t for e in self.embeddings.values() for t in (*e.tables.values(), e.buckets)]
        return [parameter for table in tables for parameter in table.parameters()]

    def table_weights(self) -> dict[str, nn.Parameter]:
        """The tables' rows ``[V, width]`` by the name of the parameter."""
        tables = {id(p) for p in self.embedding_parameters()}
        return {name: p for name, p in self.named_parameters() if id(p) in tables}

    def interaction_weights(self) -> dict[str, nn.Parameter]:
        """The weights that cross features, by name."""
        ours = tuple(f"{name}." for name in self.interactions)
        return {
            n: p for n, p in self.named_parameters() if n in self.interactions or n.startswith(ours)
        }

    def dense_parameters(self) -> list[nn.Parameter]:
        """Everything but the tables."""
        tables = {id(p) for p in self.embedding_parameters()}
        return [p for p in self.parameters() if id(p) not in tables]

    def parameter_counts(self) -> dict[str, int]:
        """``embedding`` and ``dense`` parameters."""
        return {
            "embedding": sum(p.numel() for p in self.embedding_parameters()),
            "dense": sum(p.numel() for p in self.dense_parameters()),
        }

    @property
    def sequences(self) -> tuple[SequenceFeature, ...]:
        """The sequences that are read."""
        return self.spec.sequences

    def bytes_per_sample(self) -> dict[str, int]:
        """Bytes of ids, numbers and embedding rows that a forward pass must read of memory.

        At full sequence length and float32 rows; ``request`` and ``candidate`` as in
        :meth:`flops_per_sample`. Dense weights serve a whole batch and are left out.
        """
        config = self.embedding.config

        def fields(sides: Collection[Side]) -> int:
            ids = [field.vocabulary for field in self.spec.categorical if field.side in sides]
            numeric = sum(field.side in sides for field in self.spec.numeric)
            categorical = sum(4 + 4 * config.width_of(name) for name in ids)
            return categorical + numeric * (8 + 4 * config.width)

        events = sum(
            s.max_length * (4 + 4 * config.width_of(column.vocabulary))
            for s in self.sequences
            for column in s.columns
        )
        return {
            "request": fields(REQUEST_SIDES) + events,
            "candidate": fields(ITEM_SIDES),
        }

    def flops_per_sample(self) -> dict[str, int]:
        """Forward FLOPs (2 a multiply-add) at full sequence length, look-ups and norms left out.

        ``request``: done once per request when serving; ``candidate``: once per candidate; a training
        sample costs the sum.
        """
        raise NotImplementedError
