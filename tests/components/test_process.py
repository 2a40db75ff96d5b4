"""An error of a step's process is the same error in the process that launched it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator

import pytest

from hemix.components.process import error_of, error_record
from hemix.errors import HemixError

# Where subclasses of subclasses are.
for name in (
    "hemix.storage",
    "hemix.pipelines.kfp_client.api",
    "hemix.serving.two_roles.contract",
    "hemix.serving.kubernetes.errors",
    "hemix.serving.admission.limits",
):
    importlib.import_module(name)


def kinds(base: type[HemixError] = HemixError) -> Iterator[type[HemixError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=lambda kind: kind.__name__))
def test_an_error_keeps_its_class_and_exit_code(kind: type[HemixError]) -> None:
    first = kind.__new__(kind)
    HemixError.__init__(first, "views.csv is gone.", hint="Bring it back.")
    error = error_of(json.loads(json.dumps(error_record(first))))
    assert type(error) is kind
    assert (error.exit_code, error.message, error.hint) == (
        kind.exit_code,
        "views.csv is gone.",
        "Bring it back.",
    )


@pytest.mark.parametrize(
    "place", [("no.such.module", "Odd"), ("hemix.errors", "Odd"), ("json", "loads")]
)
def test_an_unknown_class_becomes_the_base(place: tuple[str, str]) -> None:
    module, name = place
    error = error_of({"module": module, "type": name, "message": "m", "hint": "h"})
    assert type(error) is HemixError
    assert str(error) == "m h"
