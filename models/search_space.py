"""What a search may try: a range or a choice for a field of a recipe, named as ``--set`` names it.

Each configuration declares a sensible space beside its fields (``search``), keyed by its own field
names; :func:`space_of` puts ranker and training together. A YAML file replaces or adds fields::

    training.learning_rate: {low: 3.0e-4, high: 1.0e-2, log: true}
    model.token_width: {choices: [16, 32, 64]}
    model.blocks: {low: 1, high: 3}
    model.dropout: null            # not searched

Nothing here knows the library that searches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from hemix.errors import DefinitionError
from hemix.texts.frozen import Frozen

Value = bool | int | float | str | list[int] | None


class Range(Frozen):
    """Numbers from ``low`` to ``high``, both included; whole ones when both ends are.

    ``log`` spreads the tries evenly over the logarithm, ``step`` leaves out what lies between.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def whole(self) -> bool:
        """Whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[int | float, int | float]:
        return self.low, self.high

    def holds(self, value: object) -> bool:
        """Whether ``value`` could be tried."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or (self.whole and not isinstance(value, int)):
            return False
        assert isinstance(value, (int, float))
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return self.low <= value <= self.high and abs(steps - round(steps)) < 1e-9

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step {self.step:g} is not above 0")
        if self.step is not None and self.whole and not isinstance(self.step, int):
            raise ValueError(f"step {self.step:g} is not whole, low and high are")
        return self


class Choice(Frozen):
    """One of ``choices``, without an order."""

    choices: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.choices

    def holds(self, value: object) -> bool:
        """Whether ``value`` could be tried."""
        return any(value == choice and type(value) is type(choice) for choice in self.choices)

    @model_validator(mode="after")
    def _several(self) -> Choice:
        if len(self.choices) < 2:
            raise ValueError("choices needs at least two values")
        if any(value in self.choices[:i] for i, value in enumerate(self.choices)):
            raise ValueError("choices holds a value twice")
        return self


Domain = Range | Choice
Space = Mapping[str, Domain]


def parse_space(value: object, where: str) -> dict[str, Domain | None]:
    """A space as YAML has it; None stands for a field that is not searched.

    Raises:
        DefinitionError: not such a mapping; the message names ``where`` and the field.
    """
    hint = "Write FIELD: {low: ..., high: ...}, {choices: [...]} or null (docs/tuning.md)."
    if not isinstance(value, dict) or not value:
        raise DefinitionError(f"{where}: holds no fields to search.", hint=hint)
    space: dict[str, Domain | None] = {}
    for field, text in value.items():
        if text is not None and not isinstance(text, dict):
            raise DefinitionError(
                f"{where}: {field}: {text!r} is not a range or a choice.", hint=hint
            )
        kind = Choice if text is not None and "choices" in text else Range
        try:
            space[str(field)] = None if text is None else kind.model_validate(text)
        except ValidationError as error:
            first = error.errors()[0]
            inside = ".".join(str(part) for part in (field, *first["loc"][:1]))
            message = first["msg"].removeprefix("Value error, ")
            raise DefinitionError(f"{where}: {inside}: {message}.", hint=hint) from error
    return space


def prefixed(prefix: str, space: Space) -> dict[str, Domain]:
    """``space`` with ``prefix.`` before its fields."""
    return {f"{prefix}.{field}": domain for field, domain in space.items()}


def as_json(space: Space) -> dict[str, Any]:
    """What :func:`parse_space` reads back."""
    return {
        field: domain.model_dump(mode="json", exclude_defaults=True)
        for field, domain in space.items()
    }
