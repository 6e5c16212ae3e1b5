from __future__ import annotations

import numpy as np
import pytest

from textapp.retrieval.terms import folded, term_ids, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The U.S. won 2-1!", ["the", "u", "s", "won", "2", "1"]),
        ("Das Café, ＣＡＦＥ\u0301 und Straße", ["das", "cafe", "cafe", "und", "strasse"]),
        ("北京大学", ["北", "京", "北京", "大", "京大", "学", "大学"]),
        ("北京,上海", ["北", "京", "北京", "上", "海", "上海"]),  # no pair across a comma
        ("东京の塔 is 333m", ["东", "京", "东京", "の", "京の", "塔", "の塔", "is", "333m"]),
        ("서울은 크다", ["서울은", "서울", "울은", "크다"]),
        ("нового́ ещё", ["нового", "еще"]),
        ("नमस्ते", ["नमस्ते"]),
        ("…?! \n", []),
        ("", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_thai_is_found_by_characters_and_pairs() -> None:
    assert terms("ที่ไทย") == ["ที่", "ไ", "ที่ไ", "ท", "ไท", "ย", "ทย"]


def test_ascii_takes_the_same_way_as_other_texts() -> None:
    text = "Isn't it 3.5 snake_case?"
    assert terms(text) == terms(text + " é")[:-1]


def test_folding_keeps_the_marks_that_are_letters() -> None:
    assert folded("が") == "が" and folded("한") == "한" and folded("ＣＡＦÉ") == "cafe"


def test_ids_are_the_same_in_every_process() -> None:
    ids = term_ids(["tower", "北京", "tower"])
    assert ids.dtype == np.uint64 and ids.tolist()[0] == ids.tolist()[2]
    assert ids.tolist()[:2] == [9036265973936207881, 7415384723823703956]
