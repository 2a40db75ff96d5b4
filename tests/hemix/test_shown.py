"""Texts of others reach a terminal as letters and a shell as one word."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from hemix.texts.shown import command, shown, shown_lines


@given(st.text(st.characters(codec=None)))
def test_nothing_a_terminal_acts_on_is_left(text: str) -> None:
    told = shown(text)
    assert all(c.isprintable() or c == "\u200d" for c in told)
    told.encode()
    assert len(shown_lines(f"{text}\n{text}").split("\n")) >= 2


def test_letters_of_any_script_stay() -> None:
    for text in ("café", "日本語", "שלום", "👩\u200d🔬", "[/] [red]", "a b"):
        assert shown(text) == text


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1)
)
def test_a_command_is_the_same_words_again(words: list[str]) -> None:
    assert shlex.split(command(*words)) == words
