"""The base of every typed record, and the one way in which a record that we wrote is read back."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hemix.errors import HemixError, StorageError


class Frozen(BaseModel):
    """Cannot be changed and takes no key that it does not know.

    The text below a field describes it; the reference of the configuration prints it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


M = TypeVar("M", bound=BaseModel)


def parse(
    kind: type[M],
    data: Any,
    *,
    where: str,
    what: str,
    hint: str = "",
    error: type[HemixError] = StorageError,
) -> M:
    """A record from what was written of it: JSON as text or bytes, or the value itself.

    What people write is read by :mod:`hemix.texts.documents` instead, which tells every fault.

    Args:
        kind: its class.
        data: what is read.
        where: the file or address, which the error begins with.
        what: what it should be, with its article: ``a manifest``.
        hint: what to do next.
        error: what is raised.

    Raises:
        HemixError: of the type ``error``; names the first field that does not fit, and why.
    """
    try:
        if isinstance(data, str | bytes):
            return kind.model_validate_json(data)
        return kind.model_validate(data)
    except ValidationError as reason:
        first = reason.errors()[0]
        place = [*map(str, first["loc"]), first["msg"].removeprefix("Value error, ")]
        told = ": ".join([".".join(place[:-1]), place[-1]] if place[:-1] else place)
        raise error(f"{where}: not {what} ({told}).", hint=hint) from reason
