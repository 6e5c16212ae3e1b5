from __future__ import annotations

import pytest

from textapp.languages import (
    is_language,
    language_of,
    logographic,
    named_language,
    nearest_language,
    normalized,
    script_of,
    without_spaces,
)


@pytest.mark.parametrize(
    ("codes", "language"),
    [
        ("zh ZH zh-CN zh_CN zh-Hans-CN zh_hant cmn CMN-Hans zho zho_Hans chi", "zh"),
        ("ja ja_JP JA jpn jpn_Jpan", "ja"),
        ("en en-GB EN_us eng", "en"),
        ("th tha tha_Thai", "th"),
        ("ar arb ara_Arab", "ar"),
        ("pt pt-BR pt_PT", "pt"),
        ("de deu ger DE-at", "de"),
        ("nb nob", "nb"),
        ("ms zsm_Latn", "ms"),
        ("uz uzn_Latn", "uz"),
        ("he iw", "he"),
        ("id in", "id"),
        ("yue yue-HK", "yue"),  # a language of its own
        ("ceb", "ceb"),  # what has no code of two letters stays as it is
    ],
)
def test_one_language_has_one_code(codes: str, language: str) -> None:
    assert {normalized(code) for code in codes.split()} == {language}


@pytest.mark.parametrize(
    ("codes", "script"),
    [
        ("zh zh-CN zho yue lzh", "han"),
        ("ja jpn", "kana"),
        ("zh-Latn sr_Latn-RS", "latin"),
        ("sr-Cyrl uz-Cyrl", "cyrillic"),
        ("ko kor", "hangul"),
        ("th tha", "thai"),
        ("ru UK uk-UA bul sr_RS", "cyrillic"),
        ("ar fa pes ur", "arabic"),
        ("hi mar npi", "devanagari"),
        ("el gre ell", "greek"),
        ("he heb", "hebrew"),
        ("km khm km_KH", "khmer"),
        ("my mya bur_Mymr", "myanmar"),
        ("ta tam ta-Taml-IN", "tamil"),
        ("en de pt_BR vie", "latin"),
    ],
)
def test_the_script_of_a_language(codes: str, script: str) -> None:
    assert {script_of(code) for code in codes.split()} == {script}


def test_thai_has_no_spaces_between_words_but_letters() -> None:
    codes = ["zh-TW", "jpn", "tha", "km", "bur", "lo", "ko", "en", "vi"]
    assert [without_spaces(code) for code in codes] == [True] * 6 + [False] * 3
    assert [logographic(code) for code in codes] == [True, True] + [False] * 7


@pytest.mark.parametrize(
    "code",
    [
        "en", "EN", "eng", "zh", "zh_CN", "zh-Hans-CN", "zho_Hans", "cmn", "no", "nb", "nn", "he", "iw", "fil", "tl",
        "en_UK", "pt-BR", "de-1996", "sr-Latn-RS", "haw", "ceb", "yue", "nds", "gsw", "ckb", "und", "zh-min-nan",
    ],
)  # fmt: skip
def test_a_code_that_exists(code: str) -> None:
    assert is_language(code)


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("cn", "zh"), ("CN", "zh"), ("jp", "ja"), ("JP_jp", "ja"), ("cz", "cs"), ("gr", "el"), ("ua", "uk"),
        ("dk", "da"), ("vn", "vi"), ("sp", "es"), ("english", "en"), ("English", "en"), ("englsh", "en"),
        ("Chinese", "zh"), ("Simplified Chinese", "zh"), ("Brazilian Portuguese", "pt"), ("Deutsch", "de"),
        ("中文", "zh"), ("日本語", "ja"), ("Español", "es"), ("zh CN", "zh"), ("zh--CN", "zh"),
        ("en.US", "en"), ("en_US.UTF-8", "en"), ("zhh", "zh"),
        ("jap", "ja"), ("cantonese", "yue"), ("tagalogg", "tl"), ("auto", None), ("xyz", None), ("", None), ("-", None),
        ("x" * 100_000, None),
    ],
)  # fmt: skip
def test_a_code_that_does_not_exist_has_a_nearest_one(word: str, nearest: str | None) -> None:
    assert not is_language(word)
    assert nearest_language(word) == nearest


def test_every_nearest_one_exists() -> None:
    from textapp import languages

    assert all(is_language(code) for code in [*languages._NAMES.values(), *languages._TWO_LETTERS.values()])
    assert not any(is_language(word) for word in languages._MEANT)


@pytest.mark.parametrize(
    ("name", "language"),
    [("en-US", "en"), ("English", "en"), (" ENG ", "en"), ("Chinese", "zh"), ("any", ""), ("*all*", ""), ("x", "")],
)
def test_the_language_that_a_file_names(name: str, language: str) -> None:
    assert language_of(name) == language


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Chinese", "zh"), (" german ", "de"), ("中文", "zh"), ("Englisch", "en"), ("ZH", "zh"), ("eng", "en"),
        ("zh-CN", "zh"), ("en_US", "en"), ("zh-Hans-CN", "zh"), ("Hi", None), ("the", None), ("Chinese tea", None),
        ("target", None), ("", None), ("12", None), ("en-", None),
    ],
)  # fmt: skip
def test_the_name_of_a_column_that_is_a_language(name: str, code: str | None) -> None:
    assert named_language(name) == code
