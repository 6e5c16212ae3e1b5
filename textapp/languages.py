"""Language codes in a normalized form, and the script of a language."""

from __future__ import annotations

LATIN = "latin"
# Languages whose script is not Latin.
SCRIPTS = {
    "zh": "han", "ja": "kana", "ko": "hangul", "th": "thai", "el": "greek", "he": "hebrew",
    **dict.fromkeys(("ru", "uk", "bg", "sr", "be", "mk", "kk"), "cyrillic"),
    **dict.fromkeys(("ar", "fa", "ur"), "arabic"),
    **dict.fromkeys(("hi", "mr", "ne"), "devanagari"),
}  # fmt: skip
# ISO 639-2 and 639-3 codes, including those of a standard variety, such as cmn for Mandarin.
_THREE_LETTERS = {
    "en": "eng", "zh": "zho chi cmn", "ja": "jpn", "ko": "kor", "th": "tha", "el": "ell gre", "he": "heb",
    "ru": "rus", "uk": "ukr", "bg": "bul", "sr": "srp", "be": "bel", "mk": "mkd mac", "kk": "kaz",
    "lo": "lao", "km": "khm", "my": "mya bur",
    "ar": "ara arb", "fa": "fas per pes", "ur": "urd", "hi": "hin", "mr": "mar", "ne": "nep npi",
}  # fmt: skip
_TWO_LETTERS = {code: language for language, codes in _THREE_LETTERS.items() for code in codes.split()}


def normalized(language: str) -> str:
    """The language of a BCP 47 tag, without script and region, as a two-letter code if there is one.

    Example: `zh_CN`, `ZH`, `zh-Hans-CN`, `cmn` and `zho_Hans` are all `zh`; `pt-BR` is `pt`.
    """
    code = language.strip().lower().replace("_", "-").split("-")[0]
    return _TWO_LETTERS.get(code, code)


def script_of(language: str) -> str:
    """The script of a language: `script_of("zh-CN")` is `han`; languages that are not listed are `latin`."""
    return SCRIPTS.get(normalized(language), LATIN)


def without_spaces(language: str) -> bool:
    """Whether words are not separated by spaces, as in Chinese, Japanese and Thai."""
    return script_of(language) in ("han", "kana", "thai")


def logographic(language: str) -> bool:
    """Whether a character means about as much as a word, as in Chinese and Japanese.

    Not Thai: its characters are letters, and spaces separate its phrases.
    """
    return script_of(language) in ("han", "kana")
