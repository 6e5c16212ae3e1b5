from __future__ import annotations

from textapp.text.words import word_pattern


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
