"""The fields of a definition: what becomes ids, and what becomes scaled numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr

from hemix.bounds import MAX_INT, MAX_NUMBER, MAX_TEXT, MIN_INT
from hemix.features.split import Part

Whole = Annotated[StrictInt, Field(ge=MIN_INT, le=MAX_INT)]
Text = Annotated[StrictStr, Field(max_length=MAX_TEXT)]


def _is_none(value: object) -> bool:
    return value is None


class OwnField(Part):
    """What may be said of a field that is a column of the interactions."""

    # Left out when not said: definitions that do not say them keep their digests and names.
    per: Literal["request", "candidate"] = Field(
        default="request", exclude_if=lambda value: value == "request"
    )
    """Whether a request has one value of it, or each candidate its own."""


MOST_BUCKETS = 10_000_000
"""Each is a row of a table: more of them would fill the memory of the training."""


class Categorical(OwnField):
    """A field whose values become ids."""

    name: str
    """The field: a column of a source, or a generated one."""
    min_count: int = Field(default=1, ge=1)
    """Values seen less often in the training rows have no id of their own."""
    oov_buckets: Annotated[int, Field(ge=1, le=MOST_BUCKETS)] | Literal["auto"] = "auto"
    """Ids that all other values share, by hash; auto: as many as tell the log's new items (and new
    values of sequences.columns) apart, one where these are rare; one for all other fields."""
    vocabulary: str | None = None
    """Another field whose ids this one shares."""
    serve_as: Whole | Text | None = Field(default=None, exclude_if=_is_none)
    """The value that it is served at, whatever a request sends; for what is unknown before the
    answer is shown, such as the slot. It is trained with its real values."""


class Numeric(OwnField):
    """A field that becomes a scaled float and a quantile bucket."""

    name: str
    """The field: a column of a source, or a generated one."""
    scale: Literal["log", "linear"] = "log"
    """Whether the logarithm is taken before scaling."""
    buckets: int = Field(default=16, ge=2)
    """Quantile buckets, fitted to the training rows."""
    serve_as: float | None = Field(
        default=None, exclude_if=_is_none, allow_inf_nan=False, ge=-MAX_NUMBER, le=MAX_NUMBER
    )
    """The value that it is served at, whatever a request sends. It is trained with its real values."""
