"""Guesses the language of texts from their script, which is enough to choose defaults."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import islice

from textapp.text.cleaning import clean_text

# Language -> the characters of its script. Japanese also uses Han characters, so kana get a higher weight below.
_SCRIPTS = {
    "zh": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\u1100-\u11ff\uac00-\ud7af]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff\u0750-\u077f]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "lo": re.compile(r"[\u0e80-\u0eff]"),
    "bo": re.compile(r"[\u0f00-\u0fff]"),
    "my": re.compile(r"[\u1000-\u109f]"),
    "km": re.compile(r"[\u1780-\u17ff]"),
    "bn": re.compile(r"[\u0980-\u09ff]"),
    "pa": re.compile(r"[\u0a00-\u0a7f]"),
    "gu": re.compile(r"[\u0a80-\u0aff]"),
    "or": re.compile(r"[\u0b00-\u0b7f]"),
    "ta": re.compile(r"[\u0b80-\u0bff]"),
    "te": re.compile(r"[\u0c00-\u0c7f]"),
    "kn": re.compile(r"[\u0c80-\u0cff]"),
    "ml": re.compile(r"[\u0d00-\u0d7f]"),
    "si": re.compile(r"[\u0d80-\u0dff]"),
    "ka": re.compile(r"[\u10a0-\u10ff]"),
    "hy": re.compile(r"[\u0530-\u058f]"),
    "am": re.compile(r"[\u1200-\u137f]"),
    "en": re.compile(r"[A-Za-z\u00c0-\u024f]"),
}
# Weight of a character in Latin letters.
_LETTERS_PER_CHARACTER = {"zh": 4, "ja": 4, "ko": 4}
_MAX_TEXTS = 2000
_MAX_CHARACTERS = 2000
_MAX_CLEANED = 4 * _MAX_CHARACTERS  # half of a page may be markup


def guess_language(texts: Iterable[str], cleaning: Collection[str] | None = None) -> str:
    """The language of the script that prevails in the first 2,000 texts.

    Latin script counts as `en`, Cyrillic as `ru`; texts without letters are `en`.

    Args:
        texts: as they are in the files.
        cleaning: the steps that clean them first, such as `html`: the names of tags are no English.

    Example:
        guess_language(["今天天气很好", "OK"]) == "zh"
    """
    if cleaning:
        texts = (clean_text(text[:_MAX_CLEANED], cleaning) for text in texts)
    weights = script_weights(texts)
    if weights["ja"] > 0.2 * weights["zh"] > 0:
        weights["ja"] += weights["zh"]
    best = max(weights, key=lambda language: weights[language])
    return best if weights[best] else "en"


def east_asian_share(texts: Iterable[str]) -> float:
    """The share, 0 to 1, of Chinese, Japanese and Korean in the first 2,000 texts, by `script_weights`."""
    weights = script_weights(texts)
    return sum(weights[language] for language in _LETTERS_PER_CHARACTER) / max(1, sum(weights.values()))


def logographic_share(texts: Iterable[str]) -> float | None:
    """The share, 0 to 1, of Chinese characters and kana in the first 2,000 texts; None if they have no letters.

    Example: of `["他住在Paris。"]` it is 12 / 17, see `script_weights`.
    """
    weights = script_weights(texts)
    total = sum(weights.values())
    return (weights["zh"] + weights["ja"]) / total if total else None


def script_weights(texts: Iterable[str]) -> dict[str, int]:
    """The amount of text in each script, in Latin letters: `{"zh": 24, "en": 2, ...}` for the example above."""
    sample = "".join(text[:_MAX_CHARACTERS] for text in islice(texts, _MAX_TEXTS))
    return {
        language: len(pattern.findall(sample)) * _LETTERS_PER_CHARACTER.get(language, 1)
        for language, pattern in _SCRIPTS.items()
    }
