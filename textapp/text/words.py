"""What a word is in running text of any script."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# Han, kana, Thai, Lao, Burmese and Khmer, which have no spaces between words.
UNSPACED = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3040-\u30ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
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
    codes = {code for code in _MARKS if unicodedata.category(chr(code))[0] == "M"} | {0x200C, 0x200D}
    starts = sorted(code for code in codes if code - 1 not in codes)
    ends = sorted(code for code in codes if code + 1 not in codes)
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
