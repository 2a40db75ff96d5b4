"""``experiments.yaml``: layers beside the model layer, each an independent cut of all users.

A layer has a salt of its own and names its variants, the first one the control. Layers cut
independently because their salts differ, and never set the same parameter. Source: Tang et al.,
Overlapping Experiment Infrastructure, KDD 2010.

    layers:
      - name: ranking
        salt: ranking-2026-11
        variants:
          - {name: clicks, share: 0.5}
          - {name: watched, share: 0.5, order: {click: 1.0, long_view: 0.5}}
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from hemix.errors import DefinitionError
from hemix.files import digest_of
from hemix.serving.experiments.assignment import MODEL_LAYER, Assigned, Variant, assign
from hemix.texts.documents import checked, parse, text_of
from hemix.texts.frozen import Frozen

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Weight = Annotated[float, Field(allow_inf_nan=False)]


class LayerVariant(Frozen):
    """An arm of a layer."""

    name: Name
    """Name of the arm in exposures and results."""
    share: float = Field(gt=0, le=1)
    """Share of users."""
    order: dict[str, Weight] | None = None
    """Task -> weight: candidates are ranked by the weighted sum of their probabilities; null: by
    the first task."""

    @model_validator(mode="after")
    def _some_weight(self) -> LayerVariant:
        if self.order is not None and not any(self.order.values()):
            raise ValueError(f"variant {self.name}: order needs a weight that is not 0")
        return self


class Layer(Frozen):
    """One experiment over all users, with an assignment of its own."""

    name: Name
    """Name of the layer."""
    salt: str = Field(min_length=1, max_length=100)
    """Text that is hashed with the user id; another salt is another, independent assignment."""
    variants: tuple[LayerVariant, ...] = Field(min_length=1, max_length=10)
    """The arms; the first is the control, and the shares sum to 1."""

    @model_validator(mode="after")
    def _whole(self) -> Layer:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"layer {self.name}: two variants have one name")
        total = math.fsum(variant.share for variant in self.variants)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"layer {self.name}: shares sum to {total:g} and must sum to 1")
        if self.name == MODEL_LAYER:
            raise ValueError(f"layer {self.name}: the registry makes this layer (hemix models)")
        return self

    @property
    def epoch(self) -> str:
        """Changes whenever anything of the layer does."""
        return digest_of(self.model_dump(mode="json"), length=12)

    @property
    def arms(self) -> tuple[Variant, ...]:
        """The variants as arms of an assignment; they have no model version."""
        return tuple(Variant(name=v.name, version="", share=v.share) for v in self.variants)

    def assign(self, user_id: int | str) -> Assigned:
        """The user's variant: the same on every replica, without state."""
        name = assign(self.arms, salt=self.salt, user_id=user_id).name
        order = next(variant.order for variant in self.variants if variant.name == name)
        return Assigned(layer=self.name, variant=name, epoch=self.epoch, order=order)


class Experiments(Frozen):
    """All layers of the file."""

    layers: tuple[Layer, ...] = ()
    """The layers; their names and salts differ, and at most one sets `order`."""

    @model_validator(mode="after")
    def _apart(self) -> Experiments:
        for what, values in (
            ("name", [layer.name for layer in self.layers]),
            ("salt", [layer.salt for layer in self.layers]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"two layers have the {what} {twice[0]!r}: their cuts must differ")
        ordering = [la.name for la in self.layers if any(v.order is not None for v in la.variants)]
        if len(ordering) > 1:
            raise ValueError(f"layers {' and '.join(ordering)} both set order: join them into one")
        return self

    def layer(self, name: str) -> Layer:
        """The layer called ``name``; DefinitionError names those there are."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join([MODEL_LAYER, *(layer.name for layer in self.layers)])
        raise DefinitionError(f"There is no layer {name!r}.", hint=f"Layers: {known}.")

    def assign(self, user_id: int | str) -> tuple[Assigned, ...]:
        """The user's variant in every layer."""
        return tuple(layer.assign(user_id) for layer in self.layers)

    @staticmethod
    def parse(text: str, *, where: str = "experiments.yaml") -> Experiments:
        """Read the file's text.

        Raises:
            DefinitionError: names the file, the field and what it must be.
        """
        return checked(Experiments, parse(text, "experiments", where=where))

    @staticmethod
    def load(path: Path) -> Experiments:
        """Read the file; DefinitionError when it is not there or not as it must be."""
        return Experiments.parse(text_of(path), where=str(path))
