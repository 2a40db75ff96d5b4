"""Keys of a source that say how its text is written."""

from __future__ import annotations

from typing import Any

import pytest

from hemix.errors import DefinitionError
from hemix.features.declared_sources import TableSource
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.csv.dialect import Dialect
from hemix.features.text_rules import TextRules
from tests.logs import DEFINITION


def source(**keys: Any) -> DatasetDefinition:
    value = {**DEFINITION, "interactions": [{**DEFINITION["interactions"][0], **keys}]}
    return DatasetDefinition.parse(value)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"separator": ";;"}, r"separator: ';;' is not one ASCII character"),
        ({"separator": ""}, r"separator: '' is not one ASCII character"),
        ({"separator": "\n"}, "separator: "),
        ({"separator": "none"}, "separator cannot be `none`"),
        ({"quote": None}, r"quote: .*string"),
        ({"quote": "x"}, r"quote: 'x' is not one ASCII character"),
        ({"separator": ";", "escape": ";"}, "must be different characters"),
        ({"quote": ","}, "must be different characters"),
        ({"encoding": "latin-99"}, r"encoding: 'latin-99' is not a text encoding"),
        ({"encoding": "rot13"}, r"encoding: 'rot13' is not a text encoding"),
        ({"lines_in_quotes": 0}, r"lines_in_quotes: .*greater than or equal to 1"),
        ({"header": ["a", "b", "a"]}, "header: a name is given twice"),
        ({"seperator": ";"}, "seperator"),
    ],
)
def test_what_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=rf"(?s)interactions.*{told}"):
        source(**keys)


@pytest.mark.parametrize(
    ("keys", "name", "separator"),
    [
        ({}, "A.CSV", ","),
        ({}, "a.TSV.gz", "\t"),
        ({}, "a.tab.xz", "\t"),
        ({}, "a.tsv.csv", ","),
        ({"separator": "tab"}, "a.csv", "\t"),
        ({"separator": "\\t"}, "a.csv", "\t"),
        ({"separator": "space"}, "a.tsv", " "),
        ({"separator": "\x01"}, "a.tsv", "\x01"),
    ],
)
def test_the_separator_of_a_file(keys: dict[str, Any], name: str, separator: str) -> None:
    assert Dialect.of(TextRules(**keys), name).separator == separator


def test_none_is_no_sign() -> None:
    found = Dialect.of(TextRules(quote="none", escape="\\"), "a.csv")
    assert (found.quote, found.escape) == ("", "\\")


def test_keys_that_are_not_set_rename_nothing() -> None:
    plain, said = source(), source(separator=";", quote="none", header=["a"])
    assert not set(TextRules.model_fields) & set(plain.interactions[0].model_dump())
    assert plain.digest() != said.digest()
    assert DatasetDefinition.parse(said.to_json()) == said
    assert source(separator="auto", quote='"').digest() == plain.digest()


def test_every_key_says_what_it_means() -> None:
    for name, field in TextRules.model_fields.items():
        assert field.description
        assert TableSource.model_fields[name].description == field.description
