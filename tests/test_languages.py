from __future__ import annotations

import pytest

from textapp.languages import logographic, normalized, script_of, without_spaces


@pytest.mark.parametrize(
    ("codes", "language"),
    [
        ("zh ZH zh-CN zh_CN zh-Hans-CN zh_hant cmn CMN-Hans zho zho_Hans chi", "zh"),
        ("ja ja_JP JA jpn jpn_Jpan", "ja"),
        ("en en-GB EN_us eng", "en"),
        ("th tha tha_Thai", "th"),
        ("ar arb ara_Arab", "ar"),
        ("pt pt-BR pt_PT", "pt"),
        ("yue", "yue"),  # what is not listed stays as it is
    ],
)
def test_one_language_has_one_code(codes: str, language: str) -> None:
    assert {normalized(code) for code in codes.split()} == {language}


@pytest.mark.parametrize(
    ("codes", "script"),
    [
        ("zh zh-CN zho", "han"),
        ("ja jpn", "kana"),
        ("ko kor", "hangul"),
        ("th tha", "thai"),
        ("ru UK uk-UA bul sr_RS", "cyrillic"),
        ("ar fa pes ur", "arabic"),
        ("hi mar npi", "devanagari"),
        ("el gre ell", "greek"),
        ("he heb", "hebrew"),
        ("en de pt_BR vie", "latin"),
    ],
)
def test_the_script_of_a_language(codes: str, script: str) -> None:
    assert {script_of(code) for code in codes.split()} == {script}


def test_thai_has_no_spaces_between_words_but_letters() -> None:
    codes = ["zh-TW", "jpn", "tha", "ko", "en", "vi"]
    assert [without_spaces(code) for code in codes] == [True, True, True, False, False, False]
    assert [logographic(code) for code in codes] == [True, True, False, False, False, False]
