"""What was probably meant: words, dotted keys, the end of a message."""

from __future__ import annotations

import pytest

from hemix.texts.meant import did_you_mean, meant, meant_keys

KEYS = [
    "split.train.end",
    "split.test.end",
    "training",
    "training.schedule",
    "training.learning_rate",
    "training.embedding_learning_rate",
    "model.embedding.width",
]


def test_words_are_compared_whatever_their_case() -> None:
    assert meant("Platoe", ["plateau", "linear"]) == ["plateau"]
    assert meant("ITEM", ["Item_id", "user_id"]) == ["Item_id"]
    assert meant("xyz", ["plateau", "linear"]) == []


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("training.shedule", "training.schedule"),
        ("schedule", "training.schedule"),
        ("shedule", "training.schedule"),
        ("trainning", "training"),
        ("traning.learning_rate", "training.learning_rate"),
        ("model.learning_rate", "training.learning_rate"),
        ("embedding.width", "model.embedding.width"),
        ("train.end", "split.train.end"),
        ("splitt.train.end", "split.train.end"),
    ],
)
def test_a_key_is_found_by_its_whole_its_end_or_without_its_group(key: str, first: str) -> None:
    assert meant_keys(key, KEYS)[0] == first


def test_what_is_like_nothing_is_not_guessed() -> None:
    assert meant_keys("colour", KEYS) == []
    assert meant_keys("trainning", KEYS) == ["training"]


def test_the_end_of_a_message() -> None:
    assert did_you_mean([]) == "."
    assert did_you_mean(["a"]) == "; did you mean a?"
    assert did_you_mean(["a", "b", "c"]) == "; did you mean a, b or c?"
