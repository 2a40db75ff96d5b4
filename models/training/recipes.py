"""Recipes: one function each, returning the whole typed configuration of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import SerializeAsAny, model_validator

from hemix.errors import DefinitionError
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.layers.task_outputs import TaskOutputs
from hemix.models.rankers.base import Ranker, RankerConfig
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.rankers.registry import RANKERS, build, find
from hemix.models.training import recipe_files
from hemix.models.training.objectives.objective import Objective
from hemix.models.training_config import TrainingConfig as TrainingConfig
from hemix.spec import FeatureSpec
from hemix.texts.documents import Document, refusal, validated, value_of
from hemix.texts.frozen import Frozen
from hemix.texts.plain_yaml import Fault


class Recipe(Frozen):
    """A ranker's name, its shape and its training."""

    name: str
    ranker: str
    model: SerializeAsAny[RankerConfig]
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _sparse_tables(self) -> Recipe:
        if self.model.embedding.sparse and self.training.embedding_optimizer in ("adam", "adamw"):
            raise ValueError(
                "embedding.sparse needs training.embedding_optimizer=adagrad, rowwise_adagrad or "
                "group_ftrl"
            )
        return self

    @model_validator(mode="after")
    def _quantised_tables(self) -> Recipe:
        if self.model.embedding.widths and self.training.objective.group_ce.weight:
            raise ValueError(
                "objective.group_ce quantises rows of one width: set model.embedding.widths={} or "
                "objective.group_ce.weight=0"
            )
        return self

    @model_validator(mode="after")
    def _batch_statistics(self) -> Recipe:
        refinement = getattr(self.model, "refinement", None)
        if getattr(self.model, "deep_norm", "none") == "batch":
            field = "deep_norm"
        elif refinement is not None and refinement.norm == "batch":
            field = "refinement.norm"
        else:
            return self
        training = self.training
        for name, value, most in (
            ("processes", training.processes, 1),
            ("nodes", training.nodes, 1),
            ("accumulate", training.accumulate, 1),
            ("ema", training.ema, 0),
        ):
            if value > most:
                raise ValueError(
                    f"model.{field}=batch takes its statistics from one whole batch and keeps "
                    f"them with the weights: set training.{name}={most}, or model.{field}=layer"
                )
        return self

    def build(self, spec: FeatureSpec) -> Ranker:
        """A new ranker with random weights (from torch's global generator) and its outputs.

        Raises:
            DefinitionError: the training names a task that ``spec`` does not have, or its objective
                a field.
        """
        tasks, training = tuple(task.name for task in spec.tasks), self.training
        self.require_tasks(tasks)
        ranker = build(self.ranker, spec, self.model)
        ranker.outputs = TaskOutputs(tasks, training.given, training.calibration)
        ranker.objective = Objective(training.objective, ranker)
        return ranker

    def require_tasks(self, tasks: tuple[str, ...]) -> None:
        """Raise DefinitionError when the training names a task that is none of ``tasks``."""
        training = self.training
        for field, names in (
            ("task_weights", [*training.task_weights]),
            ("given", [*training.given, *training.given.values()]),
        ):
            if unknown := sorted(set(names) - set(tasks)):
                raise DefinitionError(
                    f"training.{field}: there is no task {unknown[0]!r}.",
                    hint=f"The definition's tasks: {', '.join(tasks)}.",
                )

    @staticmethod
    def parse(value: Mapping[str, Any]) -> Recipe:
        """A recipe from a mapping, as ``model_dump`` writes it.

        Raises:
            DefinitionError: an unknown key or a value that does not fit; the message names it.
        """
        return Recipe.of(Document(value=dict(value), where=f"Recipe {value.get('name')!r}"))

    @staticmethod
    def of(document: Document, *, hint: str = "") -> Recipe:
        """The recipe of a file; errors as those of :meth:`parse`."""
        value = document.value
        try:
            kind = find(str(value.get("ranker")))
        except DefinitionError as error:
            fault = Fault(place=("ranker",), message=f"{error.message} {error.hint}".rstrip(". "))
            raise refusal(document.where, [document.at(fault)], hint=hint) from error
        model, faults = validated(kind.config_type, value.get("model", {}))
        faults = [replace(fault, place=("model", *fault.place)) for fault in faults]
        made, others = validated(Recipe, {**value, "model": model or kind.config_type()})
        faults += [fault for fault in others if fault.place[:1] != ("model",)]
        if faults:
            raise refusal(document.where, map(document.at, faults), hint=hint)
        assert isinstance(made, Recipe)
        return made


def compact() -> Recipe:
    """HeMix for logs of some 10^5 impressions (docs/decisions/0004-training-recipe.md)."""
    return own(HeMix).model_copy(update={"name": "compact"})


def tiny() -> Recipe:
    """The smallest HeMix of the shapes near the paper's, for CPUs and small public data."""
    return Recipe(
        name="tiny",
        ranker="hemix",
        model=HeMixConfig(
            token_width=128, attention_heads=4, mix_heads=4, rank=32, blocks=2, ffn_expansion=2
        ),
    )


def unirank_like() -> Recipe:
    """HeMix as UniRank ran it (arXiv 2607.19987; Songcheng-Ren/UniRank, be133c2), padding aside.

    Shape, norms, initial weights and training are that run's. There a history's empty places are
    not masked and take part in the softmax with score and value 0; here they do not exist. For those,
    too, set ``model.null_item=true`` and ``model.null_form=padding``.
    """
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
            norm="pre_layer",
            stacked_init="stack",
            item_projection="separate",
            null_item=False,
            embedding=EmbeddingConfig(std=1e-4),
        ),
        training=TrainingConfig(
            batch_size=8192,
            learning_rate=1e-4,
            embedding_learning_rate=0.05,
            embedding_optimizer="adagrad",
            weight_decay=0.0,
            warmup=0.0,
            schedule="constant",
            clip_norm=10.0,
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


def small_100m() -> Recipe:
    """HeMix of the size of the paper's Small: 121 M dense parameters at 64 fields of width 32."""
    return _scaled("small_100m", width=512, blocks=2, norm="post_layer", rate=5e-4, recompute=False)


def large_1b() -> Recipe:
    """HeMix of the size of the paper's Large: 1.73 B at 64 fields of 32; for several GPUs."""
    return _scaled("large_1b", width=1280, blocks=5, norm="pre_rms", rate=2e-4, recompute=True)


def _scaled(
    name: str,
    *,
    width: int,
    blocks: int,
    norm: Literal["post_layer", "pre_rms"],
    rate: float,
    recompute: bool,
) -> Recipe:
    """Section 3.4's: depth and width grow, 24 tokens and the ratios stay. Rates are INFERRED.

    Args:
        name: of the recipe.
        width: D of a token.
        blocks: of the mixer.
        norm: the blocks' norms.
        rate: learning rate of the dense parameters.
        recompute: activation checkpointing of the blocks.
    """
    return Recipe(
        name=name,
        ranker="hemix",
        model=HeMixConfig(
            token_width=width,
            dynamic_global=4,
            dynamic_realtime=4,
            fixed_global=4,
            fixed_realtime=4,
            attention_heads=width // 64,
            mix_heads=8,
            rank=width // 4,
            blocks=blocks,
            ffn_expansion=4,
            norm=norm,
            small_output_init=True,
            recompute=recompute,
            embedding=EmbeddingConfig(width=32, sparse=True),
        ),
        training=TrainingConfig(
            batch_size=8192,
            learning_rate=rate,
            embedding_learning_rate=0.02,
            embedding_optimizer="rowwise_adagrad",
            precision="bfloat16",
        ),
    )


def own(kind: type[Ranker]) -> Recipe:
    """The recipe that a ranker declares beside its class, under the ranker's name."""
    model, training = kind.default_recipe()
    return Recipe(name=kind.name, ranker=kind.name, model=model, training=training)


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe for recipe in (compact, tiny, unirank_like, base, small_100m, large_1b)
} | {name: partial(own, kind) for name, kind in RANKERS.items() if kind is not HeMix}
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
        recipe_files.assign(value, key, value_of(text, f"--set {key}"), "recipe")
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
        raise recipe_files.no_recipe(name, RECIPES)
    return Recipe.of(recipe_files.document_of(name))
