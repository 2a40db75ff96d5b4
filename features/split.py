"""The split of a log: training, validation and test windows; and what every part of a definition is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from hemix.features.times import utc

Time = Annotated[datetime, BeforeValidator(utc)]


class Part(BaseModel):
    """A frozen, strict piece of a definition."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Window(Part):
    """Times ``[start, end)``, UTC."""

    start: Time
    """First instant of the window, UTC."""
    end: Time
    """First instant after it, UTC."""

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.end <= self.start:
            raise ValueError(f"end {self.end} is not after start {self.start}")
        return self


SHORTEST_TRAINING = timedelta(minutes=1)


class Split(Part):
    """Training, validation and test windows."""

    train: Window
    """Interactions to learn from."""
    validation: Window | None = None
    """Interactions that decide when training stops; null: the last tenth of the training window."""
    test: Window
    """Interactions that versions are evaluated on."""

    @model_validator(mode="after")
    def _in_order(self) -> Split:
        train, validation, test = self.train, self.validation, self.test
        if test.start < train.end:
            raise ValueError("the test window starts before the training window ends")
        if train.end - train.start < SHORTEST_TRAINING:
            raise ValueError(f"the training window is shorter than {SHORTEST_TRAINING}")
        if validation is None:
            return self
        if validation.end > test.start:
            raise ValueError("the validation window ends after the test window starts")
        if validation.start <= train.start:
            raise ValueError("the validation window starts where training does or before")
        if validation.start < train.end and validation.end < train.end:
            raise ValueError(
                "the validation window ends before the training window: what lies between them "
                f"would be in neither; let it end at {train.end:%Y-%m-%dT%H:%M:%SZ}, or later"
            )
        return self

    def windows(self) -> dict[str, Window]:
        """``train``, ``validation`` and ``test``; train ends where validation starts."""
        train, validation = self.train, self.validation
        if validation is None:
            length = (train.end - train.start) / 10
            cut = train.end - timedelta(seconds=round(length.total_seconds()))
            validation = Window(start=cut, end=train.end)
        if validation.start < train.end:
            train = Window(start=train.start, end=validation.start)
        return {"train": train, "validation": validation, "test": self.test}
