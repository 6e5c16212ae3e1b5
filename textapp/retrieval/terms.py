"""The terms by which passages are found: folded words; characters and their pairs in scripts without spaces."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from textapp.text.words import UNSPACED, word_pattern

VERSION = 1  # of the terms and their ids: an index of another version is built again
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_HANGUL = re.compile("[\uac00-\ud7a3]{3,}")
# Accents, and the points of Hebrew and Arabic, which people write or leave out.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c7\u064b-\u0652\u0670]")


def terms(text: str) -> list[str]:
    """The terms of a text, in order, each as often as it occurs.

    Words are folded: compatible forms, case and accents. Of Chinese, Japanese, Thai and their like, every character is
    a term, and every pair of neighbours; of Korean, whose words end in particles, every word and every pair in it.

    Example:
        terms("Das Café ist 北京の") == ["das", "cafe", "ist", "北", "京", "北京", "の", "京の"]
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    before, end = "", -1  # the last character of a script without spaces, and where it ends
    for match in word_pattern().finditer(folded(text)):
        word = match[0]
        found.append(word)
        if _UNSPACED.match(word):
            if match.start() == end:
                found.append(before + word)
            before, end = word, match.end()
        elif _HANGUL.search(word):
            found += [word[index : index + 2] for index in range(len(word) - 1)]
    return found


def folded(text: str) -> str:
    """The text with compatible forms, case and accents folded: `Ｃａｆé` is `cafe`."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", text))


def term_ids(words: Iterable[str]) -> np.ndarray:
    """The id of each term, `[terms]` uint64: a hash, so that files can be indexed apart from each other."""
    return np.array([_term_id(word) for word in words], np.uint64)


@lru_cache(1 << 18)
def _term_id(word: str) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
