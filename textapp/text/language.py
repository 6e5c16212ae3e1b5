"""The language of texts, told from their script alone: enough to choose defaults by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

# A script and the language that stands for it. Japanese writes Han characters too, so kana weigh more.
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
    "en": re.compile(r"[A-Za-z\u00c0-\u024f]"),
}
# A Chinese character says about as much as four Latin letters.
_LETTERS_A_SIGN = {"zh": 4, "ja": 4, "ko": 4}
_MOST_TEXTS = 2000
_MOST_CHARACTERS = 2000


def guess_language(texts: Iterable[str]) -> str:
    """Names the language of the script that most of the first 2,000 texts are written in.

    Latin script counts as `en`, Cyrillic as `ru`; texts without letters are `en`.

    Example:
        guess_language(["今天天气很好", "OK"]) == "zh"
    """
    weights = script_weights(texts)
    if weights["ja"] > 0.2 * weights["zh"] > 0:
        weights["ja"] += weights["zh"]
    best = max(weights, key=lambda language: weights[language])
    return best if weights[best] else "en"


def east_asian_share(texts: Iterable[str]) -> float:
    """The share, 0 to 1, of Chinese, Japanese and Korean writing among the letters of the first 2,000 texts."""
    weights = script_weights(texts)
    return sum(weights[language] for language in _LETTERS_A_SIGN) / max(1, sum(weights.values()))


def script_weights(texts: Iterable[str]) -> dict[str, int]:
    """How much is written in each script, in Latin letters: `{"zh": 24, "en": 2, ...}` for the example above."""
    sample = "".join(text[:_MOST_CHARACTERS] for text in islice(texts, _MOST_TEXTS))
    return {
        language: len(pattern.findall(sample)) * _LETTERS_A_SIGN.get(language, 1)
        for language, pattern in _SCRIPTS.items()
    }
