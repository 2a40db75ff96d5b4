"""YAML and JSON of people: what it looks like, or a refusal with the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.errors import DefinitionError
from hemix.texts.documents import parse, read, value_of
from hemix.texts.plain_yaml import Unreadable, decoded, parsed

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(value=st.dictionaries(TEXTS, VALUES, max_size=4), ascii_only=st.booleans())
def test_json_is_read_as_the_json_module_reads_it(value: object, ascii_only: bool) -> None:
    for indent in (None, "\t"):
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        assert parsed(text).value == json.loads(text)
        assert not parsed(text).faults


@settings(deadline=None)
@given(value=st.dictionaries(TEXTS.filter(bool), st.lists(TEXTS | st.integers(-9, 9)), max_size=3))
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    reading = parsed(yaml.safe_dump(value))
    assert (reading.value, reading.faults) == (value, ())


def test_plain_scalars_are_what_they_look_like() -> None:
    text = "[NO, on, yes, 12:30, 2021-11-05, 17, -3, 2.5, 1.5e-3, true, ~, null, 12e45, 0, x y]"
    assert parsed(text).value == [
        *("NO", "on", "yes", "12:30", "2021-11-05"),
        *(17, -3, 2.5, 0.0015, True, None, None, "12e45", 0, "x y"),
    ]


def test_keys_are_texts() -> None:
    assert parsed("on: 1\n2024: 2\nno: 3\n1.50: 4").value == {
        "on": 1,
        "2024": 2,
        "no": 3,
        "1.50": 4,
    }


@pytest.mark.parametrize("number", ["0755", "007", "1_500", "0b11", "0o17", "0x1F", "00"])
def test_numbers_that_programs_read_differently_are_refused(number: str) -> None:
    (fault,) = parsed(f"a:\n  b: {number}").faults
    assert (fault.place, fault.line) == (("a", "b"), 2)
    assert number in fault.message
    assert parsed(f"a: '{number}'").value == {"a": number}


@pytest.mark.parametrize(
    ("text", "place", "lines"),
    [
        ("q: 1\nr: 2\nq: 3", ("q",), "lines 1 and 3"),
        ("r:\n  - {a: 1}\n  - s: 1\n    t: 2\n    s: 3", ("r", 1, "s"), "lines 3 and 5"),
        ('{"u": {"v": 1,\n"v": 2}}', ("u", "v"), "lines 1 and 2"),
        ('{"u": 1, "u": 2}', ("u",), "in line 1"),
    ],
)
def test_a_key_that_stands_twice(text: str, place: tuple[object, ...], lines: str) -> None:
    (fault,) = parsed(text).faults
    assert fault.place == place
    assert "is given twice" in fault.message
    assert lines in fault.message


def test_a_merged_key_may_be_said_anew() -> None:
    found = parsed("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  x: 3")
    assert found.value["own"] == {"x": 3, "y": 2}
    assert not found.faults


def test_faults_do_not_hide_each_other() -> None:
    text = 'a: 010\nb: !!python/name:os.system x\nc: 1\nc: 2\nd: {{x}}\ne: &e [*e]\nf: "\\0"'
    assert [fault.line for fault in parsed(text).faults] == [1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 30_000, "nests more than"),
        ("{a: " * 30_000, "nests more than"),
        ('{"a":' * 30_000 + "1" + "}" * 30_000, "nests more than"),
        ("a: 1\n---\nb: 2", "second document"),
        ("a:\n\tb: 1", "not with tabs"),
        ("a: {column: sold?}", "in quotes"),
        ("a: [x, {y]", "in quotes"),
        ("a: [1,", "stream end"),
        ("a: \x07", "cannot stand here"),
        (
            "a0: &a0 [1,2,3,4,5,6,7,8,9]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            "expand to more than",
        ),
    ],
)
def test_texts_that_are_not_read_at_all(text: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words) as error:
        parsed(text)
    assert error.value.fault.line is not None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_with_a_mark_are_text(encoding: str) -> None:
    assert decoded("name: größe\n".encode(encoding)) == "name: größe\n"


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0", b"a: 1\nb: \xff\xfe", "a: 1".encode("utf-16-le")]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="text"):
        decoded(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"# only a remark\n", "it is empty"),
        (b"user,item\n1,2\n", "it holds one value"),
        (b"- a\n- b\n", "it holds a list"),
        (b"PAR1\0\0", "not a text file"),
    ],
)
def test_files_that_hold_no_keys(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_bytes(data)
    with pytest.raises(DefinitionError, match=words) as error:
        read(path, "a thing", may_be_empty=False)
    assert str(path) in error.value.message


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot read"):
        read(tmp_path, "a thing")


def test_values_after_an_equals_sign() -> None:
    assert value_of("[1, NO, 2021-01-01]", "--set x") == [1, "NO", "2021-01-01"]
    for text in ("[1", "{a: 1, a: 2}", "010"):
        with pytest.raises(DefinitionError, match="--set x: "):
            value_of(text, "--set x")


def test_every_fault_of_a_document_is_told() -> None:
    document = parse("a: 010\na: 2\nb: 0x1", "a thing", where="f.yaml")
    with pytest.raises(DefinitionError, match=r"f\.yaml: 3 faults") as error:
        document.require()
    assert error.value.exit_code == 2
    for words in ("line 1: a: ", "line 2: a: the key is given twice", "line 3: b: "):
        assert words in error.value.message
