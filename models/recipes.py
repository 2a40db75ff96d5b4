"""Recipes: one function each, returning the whole typed configuration of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from hemix.errors import DefinitionError
from models import recipe_files
from models.embeddings import EmbeddingConfig
from models.hemix_config import HeMixConfig
from models.ranker import RankerConfig
from models.registry import RANKERS, find
from models.search import Range, Space


class TrainingConfig(BaseModel):
    """How a ranker is trained.

    ``learning_rate`` is AdamW's for dense parameters, ``embedding_learning_rate`` that of the
    tables (AdamW with decoupled decay, or Adagrad, which also takes sparse gradients). The rate
    rises over ``warmup`` (a share of all steps), then falls linearly to 0. ``clip_norm`` bounds the
    norm of the dense gradient. ``ema`` > 0 evaluates and keeps an average of the weights.
    Validation runs ``evaluations`` times an epoch; training stops after ``patience`` of them
    without a better mean AUC, and the best weights are kept. ``refit`` then trains once more, from
    new weights, on training and validation rows together for the steps an epoch that were best.
    ``shuffle_rows`` is how many rows are shuffled together: the reader's memory.
    ``processes`` on each of ``nodes`` machines share every batch (models/distributed.py);
    ``batch_size`` is the batch of all of them together.
    ``warm_start``: begin with the weights of a model version (models/warm_start.py): ``champion``,
    or the path or location of its folder; empty for new weights.
    ``search``: what ``hemix tune`` tries unless told otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    search: ClassVar[Space] = {
        "learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "embedding_learning_rate": Range(low=3e-4, high=5e-2, log=True),
        "weight_decay": Range(low=1e-3, high=0.3, log=True),
        "warmup": Range(low=0.0, high=0.3),
    }

    seed: int = 0
    batch_size: int = Field(default=512, ge=1)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    embedding_learning_rate: float = Field(default=1e-3, gt=0)
    embedding_optimizer: Literal["adamw", "adagrad"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0)
    embedding_weight_decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.1, ge=0, le=1)
    clip_norm: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    evaluations: int = Field(default=2, ge=1)
    patience: int = Field(default=3, ge=1)
    refit: bool = False
    task_weights: dict[str, float] = {}
    precision: Literal["float32", "bfloat16"] = "float32"
    shuffle_rows: int = Field(default=131_072, ge=1)
    checkpoint_every_s: float = Field(default=20.0, ge=0)
    processes: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    warm_start: str = ""

    @property
    def world(self) -> int:
        """How many processes train together."""
        return self.processes * self.nodes

    @model_validator(mode="after")
    def _equal_shares(self) -> TrainingConfig:
        if self.batch_size % self.world:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of the {self.world} processes"
            )
        return self


class Recipe(BaseModel):
    """A ranker's name, its shape and its training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ranker: str
    model: SerializeAsAny[RankerConfig]
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _sparse_tables(self) -> Recipe:
        if self.model.embedding.sparse and self.training.embedding_optimizer != "adagrad":
            raise ValueError("embedding.sparse needs training.embedding_optimizer=adagrad")
        return self

    @staticmethod
    def parse(value: Mapping[str, Any]) -> Recipe:
        """A recipe from a mapping, as ``model_dump`` writes it.

        Raises:
            DefinitionError: an unknown key or a value that does not fit; the message names it.
        """
        kind = find(str(value.get("ranker")))
        try:
            return Recipe.model_validate(
                {**value, "model": kind.config_type.model_validate(value.get("model", {}))}
            )
        except ValidationError as error:
            first = error.errors()[0]
            inside = ("model",) if error.title == kind.config_type.__name__ else ()
            key = ".".join(str(part) for part in (*inside, *first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise DefinitionError(
                f"Recipe {value.get('name')!r}: {key or 'recipe'}: {message}."
            ) from error


def compact() -> Recipe:
    """HeMix for logs of some 10^5 impressions (docs/decisions/0004-training-recipe.md)."""
    return Recipe(
        name="compact",
        ranker="hemix",
        model=HeMixConfig(
            token_width=32,
            norm="none",
            token_norm=False,
            readout="flatten",
            crosses=1,
            blocks=1,
            tower=(64,),
            embedding=EmbeddingConfig(width=8, id_dropout=0.2),
        ),
        training=TrainingConfig(batch_size=256, learning_rate=3e-3, embedding_learning_rate=3e-3),
    )


def tiny() -> Recipe:
    """HeMix of section 3.4's smallest shape, for CPUs and small public data."""
    return Recipe(
        name="tiny",
        ranker="hemix",
        model=HeMixConfig(
            token_width=128, attention_heads=4, mix_heads=4, rank=32, blocks=2, ffn_expansion=2
        ),
    )


def unirank_like() -> Recipe:
    """HeMix in the shape of the public benchmark run (section 1.9): K, V after an item projection."""
    return Recipe(
        name="unirank_like",
        ranker="hemix",
        model=HeMixConfig(
            token_width=256,
            attention_heads=2,
            mix_heads=2,
            rank=16,
            blocks=3,
            ffn_expansion=4,
            norm="post_layer",
            item_projection="separate",
            null_item=False,
        ),
        training=TrainingConfig(
            batch_size=8192,
            learning_rate=1e-4,
            embedding_learning_rate=0.05,
            embedding_optimizer="adagrad",
            precision="bfloat16",
        ),
    )


def base() -> Recipe:
    """HeMix with 24 tokens of width 256, for logs of 10^7 impressions and more."""
    return Recipe(
        name="base",
        ranker="hemix",
        model=HeMixConfig(
            token_width=256,
            dynamic_global=4,
            dynamic_realtime=4,
            fixed_global=4,
            fixed_realtime=4,
            attention_heads=4,
            mix_heads=8,
            rank=64,
            blocks=2,
            ffn_expansion=4,
            embedding=EmbeddingConfig(width=32),
        ),
        training=TrainingConfig(batch_size=4096),
    )


def rival(ranker: str) -> Recipe:
    """A ranker in its default shape with the embeddings and the training of ``compact``."""
    default = compact()
    model = find(ranker).config_type(embedding=default.model.embedding)
    return Recipe(name=ranker, ranker=ranker, model=model, training=default.training)


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe for recipe in (compact, tiny, unirank_like, base)
} | {ranker: partial(rival, ranker) for ranker in RANKERS if ranker != "hemix"}
"""HeMix in several shapes, and every other ranker under its own name."""


def recipe_of(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """The recipe ``name`` with dotted fields replaced, e.g. ``{"training.epochs": "2"}``.

    ``name`` is a shipped recipe's, a YAML file's, or what :func:`portable` made. Values are read
    as YAML, so ``[64, 32]``, ``true`` and ``1e-3`` are what they look like.

    Raises:
        DefinitionError: no such recipe, no such field, or a value that does not fit the field.
    """
    value = _named(name).model_dump(mode="json")
    for key, text in (overrides or {}).items():
        _assign(value, key, text)
    return Recipe.parse(value)


def portable(name: str) -> str:
    """``name`` as another machine understands it: a file becomes the recipe that it holds.

    Raises:
        DefinitionError: as :func:`recipe_of`.
    """
    if not recipe_files.is_file(name):
        return name
    return recipe_files.as_line(_named(name).model_dump(mode="json"))


def _named(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]()
    if not recipe_files.is_written(name):
        raise DefinitionError(
            f"No recipe is called {name!r}.",
            hint=f"Known: {', '.join(RECIPES)}; or name a YAML file.",
        )
    value = recipe_files.mapping(name)
    try:
        return Recipe.parse(value)
    except DefinitionError as error:
        where = recipe_files.where(name)
        raise DefinitionError(f"{where}: {error.message}", hint=error.hint) from error


def _assign(value: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    here: Any = value
    for parent in parents:
        here = here.get(parent) if isinstance(here, dict) else None
    free = parents == ["training", "task_weights"]
    if not isinstance(here, dict) or (last not in here and not free) or key in ("name", "ranker"):
        known = sorted(here) if isinstance(here, dict) else ["model", "training"]
        raise DefinitionError(
            f"A recipe has no field {key!r} to set.",
            hint=f"Known at that place: {', '.join(known)}; e.g. --set training.epochs=2.",
        )
    try:
        here[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DefinitionError(f"{key}={text!r}: not a value ({error}).") from error
