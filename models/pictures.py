"""What can be looked at inside a ranker: pictures of its weights, and of what it did with rows.

A ranker, or any layer inside it, offers them by a method ``pictures(look)``; nothing has to be
declared or registered. Scoring pays nothing for it: what layers were called with is only kept while
somebody looks.

Axes: ``B`` rows, ``V`` vectors of a row (:attr:`hemix.models.rankers.base.Ranker.vector_names`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hemix.models.data.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of a picture: what it counts, and a label for each place on it."""

    title: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Numbers over one axis (bars) or two (a heat map: down, then across).

    Attributes:
        title: what is shown, a few words.
        reading: one sentence that says how to read it, and what high and low mean.
        axes: one or two.
        values: as long as the axes' labels; NaN where there is nothing.
        unit: what a value is: "weight", "share of rows".
        middle: value between two colours, such as the 0 of signed weights; None: values begin at 0.
        about: the model's weights alone, or the rows that were looked at.
    """

    title: str
    reading: str
    axes: tuple[Axis, ...]
    values: Tensor
    unit: str = "weight"
    middle: float | None = None
    about: Literal["weights", "rows"] = "weights"

    def __post_init__(self) -> None:
        wanted = tuple(len(axis.labels) for axis in self.axes)
        if len(self.axes) not in (1, 2) or tuple(self.values.shape) != wanted:
            raise ValueError(
                f"{self.title!r}: values of shape {tuple(self.values.shape)} for axes of {wanted}"
            )

    def as_json(self) -> dict[str, Any]:
        """For files and pages: four digits, None where there is nothing."""
        values = self.values.detach().double().cpu().tolist()
        return {
            "title": self.title,
            "reading": self.reading,
            "about": self.about,
            "unit": self.unit,
            "middle": self.middle,
            "axes": [{"title": axis.title, "labels": list(axis.labels)} for axis in self.axes],
            "values": [
                [_short(value) for value in line] if isinstance(line, list) else _short(line)
                for line in values
            ],
        }


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def spoken(name: str) -> str:
    """A field as people know it, without what the transform puts behind its name.

    Example:
        >>> spoken("user_id_index"), spoken("item_age_days_scaled"), spoken("tag")
        ('user_id', 'item_age_days', 'tag')
    """
    for end in ("_index", "_scaled"):
        name = name.removesuffix(end)
    return name


class Call(NamedTuple):
    """What a module was given, by position, and what it gave back."""

    inputs: tuple[Any, ...]
    output: Any


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a picture may be made of.

    Attributes:
        vectors: names ``[V]`` of the row's vectors, for axes over fields.
        batch: the rows that are looked at; None: the weights alone.
        rows: a label for each of them.
        events: sequence name -> for each row a label for each of its events, oldest first.
    """

    vectors: tuple[str, ...] = ()
    batch: Batch | None = None
    rows: tuple[str, ...] = ()
    events: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    seen: Mapping[nn.Module, tuple[Call, ...]] = field(default_factory=dict)

    def calls(self, module: nn.Module) -> tuple[Call, ...]:
        """Every call of ``module`` while the ranker scored ``batch``, in their order; none without."""
        return self.seen.get(module, ())


@runtime_checkable
class Shows(Protocol):
    """A ranker or layer that offers pictures: of its weights always, of rows when there are some.

    Example:
        >>> class Gate(nn.Module):
        ...     def pictures(self, look: Look) -> Iterable[Picture]:
        ...         for call in look.calls(self):  # [B, V], none without rows
        ...             yield Picture(
        ...                 title="Gates of the fields",
        ...                 reading="Each row of the picture is a row; dark fields pass.",
        ...                 axes=(Axis(title="row", labels=look.rows),
        ...                       Axis(title="field", labels=look.vectors)),
        ...                 values=call.output,
        ...                 unit="gate",
        ...                 about="rows",
        ...             )
        >>> isinstance(Gate(), Shows)
        True
    """

    def pictures(self, look: Look) -> Iterable[Picture]:
        """Pictures for people, the most telling first."""
        ...


@torch.inference_mode()
def pictures_of(
    ranker: nn.Module,
    vectors: Sequence[str],
    batch: Batch | None = None,
    rows: Sequence[str] = (),
    events: Mapping[str, Sequence[Sequence[str]]] | None = None,
) -> tuple[Picture, ...]:
    """All pictures of ``ranker`` and its layers, outer ones first; empty when it offers none.

    Args:
        ranker: in evaluation mode.
        vectors: names of the vectors that it sees, ``ranker.vector_names``.
        batch: whole rows to look at; every call inside is kept, so a few; None: weights alone.
        rows: a label for each row; their numbers from 1 when it is empty.
        events: labels of events as in :class:`Look`.
    """
    seen: dict[nn.Module, list[Call]] = {}
    if batch is not None:
        rows = rows or [str(number + 1) for number in range(batch.size)]
        with _watched(ranker, seen):
            ranker(batch)
    look = Look(
        vectors=tuple(map(spoken, vectors)),
        batch=batch,
        rows=tuple(rows),
        events=events or {},
        seen={module: tuple(calls) for module, calls in seen.items()},
    )
    return tuple(
        picture
        for module in ranker.modules()
        if isinstance(module, Shows)
        for picture in module.pictures(look)
    )


@contextmanager
def _watched(ranker: nn.Module, seen: dict[nn.Module, list[Call]]) -> Iterator[None]:
    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen.setdefault(module, []).append(Call(inputs, output))

    hooks = [module.register_forward_hook(keep) for module in ranker.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
