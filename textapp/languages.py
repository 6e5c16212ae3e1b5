"""Language codes: the one form that they are compared in, and the script that a language is written in."""

from __future__ import annotations

LATIN = "latin"
# Languages whose script is not Latin.
SCRIPTS = {
    "zh": "han", "ja": "kana", "ko": "hangul", "th": "thai", "el": "greek", "he": "hebrew",
    **dict.fromkeys(("ru", "uk", "bg", "sr", "be", "mk", "kk"), "cyrillic"),
    **dict.fromkeys(("ar", "fa", "ur"), "arabic"),
    **dict.fromkeys(("hi", "mr", "ne"), "devanagari"),
}  # fmt: skip
# Codes of three letters, ISO 639-2 and 639-3; also those of the standard variety, such as cmn for Mandarin.
_THREE_LETTERS = {
    "en": "eng", "zh": "zho chi cmn", "ja": "jpn", "ko": "kor", "th": "tha", "el": "ell gre", "he": "heb",
    "ru": "rus", "uk": "ukr", "bg": "bul", "sr": "srp", "be": "bel", "mk": "mkd mac", "kk": "kaz",
    "ar": "ara arb", "fa": "fas per pes", "ur": "urd", "hi": "hin", "mr": "mar", "ne": "nep npi",
}  # fmt: skip
_TWO_LETTERS = {code: language for language, codes in _THREE_LETTERS.items() for code in codes.split()}


def normalized(language: str) -> str:
    """The language of a BCP 47 tag in lower case, of two letters where the code is known, without script and region.

    Example: `zh_CN`, `ZH`, `zh-Hans-CN`, `cmn` and `zho_Hans` are all `zh`; `pt-BR` is `pt`.
    """
    code = language.strip().lower().replace("_", "-").split("-")[0]
    return _TWO_LETTERS.get(code, code)


def script_of(language: str) -> str:
    """The script a language is written in: `script_of("zh-CN")` is `han`; what is not listed is `latin`."""
    return SCRIPTS.get(normalized(language), LATIN)


def without_spaces(language: str) -> bool:
    """Whether no spaces separate words, as in Chinese, Japanese and Thai."""
    return script_of(language) in ("han", "kana", "thai")


def logographic(language: str) -> bool:
    """Whether a character says about as much as a word, as in Chinese and Japanese.

    Not Thai: its characters are letters, and spaces separate its phrases.
    """
    return script_of(language) in ("han", "kana")
