"""Records that we wrote are read back, or refused in one sentence that names file, field and reason."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from hemix.errors import RegistryError, StorageError
from hemix.texts.frozen import Frozen, parse


class Inner(Frozen):
    count: int = Field(ge=0)


class Record(Frozen):
    name: str
    """What people call it."""
    inner: tuple[Inner, ...] = ()


def test_a_record_is_read_from_text_bytes_and_values() -> None:
    made = Record(name="a", inner=(Inner(count=1),))
    for data in (made.model_dump_json(), made.model_dump_json().encode(), made.model_dump()):
        assert parse(Record, data, where="here", what="a record") == made
    assert Record.model_fields["name"].description == "What people call it."


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "a", "inner": [{"count": -1}]}, "inner.0.count: Input should be greater than"),
        ({"name": "a", "more": 1}, "more: Extra inputs are not permitted"),
        ({}, "name: Field required"),
        (b"{", "Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_named(data: object, told: str) -> None:
    with pytest.raises(StorageError) as caught:
        parse(Record, data, where="f.json", what="a record", hint="Mend it.")
    assert caught.value.message.startswith(f"f.json: not a record ({told}")
    assert caught.value.hint == "Mend it."
    with pytest.raises(RegistryError):
        parse(Record, data, where="f.json", what="a record", error=RegistryError)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Record(name="a").name = "b"  # type: ignore[misc]
