from __future__ import annotations

import pytest

from textapp.text.language import east_asian_share, guess_language, logographic_share


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["A good film.", "très bien"], "en"),
        (["今天天气很好", "OK"], "zh"),
        (["映画はとても良かったです", "また来たい"], "ja"),
        (["영화가 정말 좋았어요"], "ko"),
        (["хороший фильм"], "ru"),
        (["فيلم جيد"], "ar"),
        (["ខ្ញុំស្រឡាញ់ឆ្មា"], "km"),
        (["ချစ်တယ်"], "my"),
        (["ໂຮງຮຽນ"], "lo"),
        (["བོད་ཡིག"], "bo"),
        (["தமிழ்"], "ta"),
        (["বাংলা"], "bn"),
        (["ქართული"], "ka"),
        (["123 !!", ""], "en"),
        ([], "en"),
    ],
)
def test_the_script_names_the_language(texts: list[str], language: str) -> None:
    assert guess_language(iter(texts)) == language


def test_a_chinese_character_weighs_four_letters() -> None:
    assert east_asian_share(["好abcd"]) == 0.5
    assert east_asian_share(["123"]) == 0


def test_the_share_of_chinese_and_japanese_counts_no_korean() -> None:
    assert logographic_share(["好abcd"]) == 0.5 and logographic_share(["好かabcd"]) == pytest.approx(2 / 3)
    assert logographic_share(["영화"]) == 0 and logographic_share(["123"]) is None


def test_tags_are_no_english() -> None:
    page = '<div class="review">很好看</div>'
    assert guess_language([page]) == "en"
    assert guess_language([page], ["html"]) == "zh"
    assert guess_language(["plain"], []) == "en"
