from __future__ import annotations

import re
from pathlib import Path

import pytest

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.overrides import check_recipe, parse_overrides


def test_the_first_part_of_a_key_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse_overrides(
        [
            "split.train.end=2022-04-29",
            "sequences.global_length=10",
            "root=logs",
            "training.seed=7",
            "model.token_width = 64",
        ]
    )
    assert found.definition == {
        "split.train.end": "2022-04-29",
        "sequences.global_length": 10,
        "root": str(tmp_path / "logs"),
    }
    assert found.recipe == {"training.seed": "7", "model.token_width": "64"}


def test_a_url_as_root_stays() -> None:
    assert parse_overrides(["root=s3://logs/a=b"]).definition == {"root": "s3://logs/a=b"}


@pytest.mark.parametrize("pair", ["training.seed", "=3", "  =3", ""])
def test_no_key_or_no_value(pair: str) -> None:
    with pytest.raises(DefinitionError, match="KEY=VALUE"):
        parse_overrides([pair])


def test_not_yaml() -> None:
    with pytest.raises(DefinitionError, match=r"split\.train\.end"):
        parse_overrides(["split.train.end=[1"])


def test_unknown_keys_are_named() -> None:
    with pytest.raises(DefinitionError, match=r"training\.sede"):
        check_recipe("tiny", parse_overrides(["training.sede=1"]).recipe)
    with pytest.raises(DefinitionError, match=r"split\.trian"):
        DatasetDefinition.load("kuairand", parse_overrides(["split.trian=1"]).definition)
    with pytest.raises(DefinitionError, match="'tinny'"):
        check_recipe("tinny", {})


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (
            "training.schedule=platoe",
            "'constant' or 'plateau', not 'platoe'; did you mean 'plateau'?",
        ),
        ("training.schedule=", "'constant' or 'plateau', not an empty value"),
        ("training.epochs=", "valid integer, not an empty value"),
        ("training.shedule=plateau", "'training.shedule' to set; did you mean training.schedule?"),
        ("model.shedule=plateau", "did you mean training.schedule?"),
        (
            "schedule=plateau",
            "schedule: neither a .* has this key; did you mean training.schedule?",
        ),
        ("splitt.train.end=2024-01-01", "did you mean split.train.end?"),
    ],
)
def test_what_was_meant_is_told_with_what_there_is(pair: str, told: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        check_recipe("tiny", parse_overrides([pair]).recipe)
    assert re.search(told.replace("?", r"\?"), refused.value.message), refused.value.message


def test_recipes_and_rankers_are_named_likewise() -> None:
    with pytest.raises(DefinitionError, match=r"'dcnv'; did you mean dcnv2\?"):
        check_recipe("dcnv", {})
    with pytest.raises(DefinitionError, match=r"ranker: .*'dcnv'; did you mean dcnv2\?"):
        check_recipe('{"ranker": "dcnv"}', {})
    with pytest.raises(DefinitionError, match=r"trainig: no such key; did you mean training\?"):
        check_recipe('{"ranker": "dcnv2", "trainig": {}}', {})
