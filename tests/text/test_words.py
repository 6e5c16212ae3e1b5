from __future__ import annotations

import pytest

from textapp.text.words import inside_character, inside_word, word_pattern


def test_words_of_several_scripts() -> None:
    assert word_pattern().findall("Don't 3,5 नमस्ते การ 北京x") == [
        "Don",
        "t",
        "3",
        "5",
        "नमस्ते",
        "ก",
        "า",
        "ร",
        "北",
        "京",
        "x",
    ]


def test_marks_stay_with_their_letters() -> None:
    assert word_pattern().findall("cafe\u0301 ที่") == ["cafe\u0301", "ที่"]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("the tower", {1, 2, 5, 6, 7, 8}),
        ("in 1889.", {1, 4, 5, 6}),
        ("1889年建成", {1, 2, 3}),
        ("Rene\u0301 x", {1, 2, 3, 4}),
        ("नमस्ते जी", {1, 2, 3, 4, 5, 8}),
        ("a-b", set()),
        ("👍🏽 ok", {1, 4}),
    ],
)
def test_inside_word(text: str, places: set[int]) -> None:
    assert {place for place in range(len(text) + 1) if inside_word(text, place)} == places


def test_inside_character() -> None:
    text = "Rene\u0301 👩\u200d🚀 ok"
    assert {place for place in range(len(text) + 1) if inside_character(text, place)} == {4, 7, 8}
