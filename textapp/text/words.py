"""What a word is in running text of any script."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# Han, kana, Thai, Lao, Burmese and Khmer, which have no spaces between words.
UNSPACED = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3040-\u30ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_JOINERS = "\u200c\u200d"
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_MARKS = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))  # where Unicode has combining marks


@cache
def word_pattern() -> re.Pattern[str]:
    """The pattern of a word: letters, digits and their marks; in scripts without spaces one letter with its marks.

    Combining marks, and the joiners of Persian and Hindi, are no `\\w`.
    """
    mark = marks()
    return re.compile(f"(?![{mark}])[{UNSPACED}][{mark}]*|(?:(?![{UNSPACED}])[^\\W_][{mark}]*)+")


@cache
def marks() -> str:
    """Combining marks and joiners, as ranges for a character class."""
    codes = {code for code in _MARKS if unicodedata.category(chr(code))[0] == "M"} | set(map(ord, _JOINERS))
    starts = sorted(code for code in codes if code - 1 not in codes)
    ends = sorted(code for code in codes if code + 1 not in codes)
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


def inside_character(text: str, index: int) -> bool:
    """Whether the place before `text[index]` is inside what a reader sees as one character, with its marks."""
    if not 0 < index < len(text):
        return False
    return text[index - 1] == "\u200d" or _is_mark(text[index])


def inside_word(text: str, index: int) -> bool:
    """Whether the place before `text[index]` is inside a word; between letters without spaces in between it is not.

    Example: in `"the tower"` 5 is inside, 4 is not; in `"人工智能"` none is.
    """
    if inside_character(text, index):
        return True
    if not 0 < index < len(text):
        return False
    before = index - 1
    while before and _is_mark(text[before]):
        before -= 1
    pair = text[before], text[index]
    return all(character.isalnum() and not _UNSPACED.match(character) for character in pair)


def _is_mark(character: str) -> bool:
    if character.isascii():
        return False
    return (
        unicodedata.category(character)[0] == "M"
        or character in _JOINERS
        or _SKIN_TONES[0] <= character <= _SKIN_TONES[1]
    )
