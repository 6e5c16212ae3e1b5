"""Splits a text into passages of about a thousand characters, which overlap a little."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from textapp.text.words import UNSPACED, marks

VERSION = 1  # an index with passages of another version is built again
SIZE = 1000  # characters of a passage
OVERLAP = 100  # characters that two passages have in common, up to twice as many for a whole sentence
_LONGEST_WORD = 4  # times the size; what is longer is cut

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？；][”’」』）]*\s*|\n\s*")
_SPACE = re.compile(r"\s+")


def passages(text: str, size: int = SIZE, overlap: int = OVERLAP) -> Iterator[tuple[int, int]]:
    """Yields the range of each passage, `[start, end)` in characters; together they have every character of the text.

    A passage ends with a paragraph, else with a sentence, else between words; in scripts without spaces between
    characters. A word longer than four passages is cut.

    Args:
        text: any text.
        size: the most characters of a passage, but for long words.
        overlap: characters of a passage that the next one repeats, about.

    Example: `list(passages("One. Two. Three.", size=10, overlap=0))` is `[(0, 10), (10, 16)]`.
    """
    start = 0
    while len(text) - start > size:
        end = _end(text, start, size)
        if end >= len(text):
            break
        yield start, end
        start = max(start + 1, _start(text, start, end, overlap))
    if start < len(text):
        yield start, len(text)


def _end(text: str, start: int, size: int) -> int:
    """Where a passage ends: the last good place of its second half, else the next one behind it."""
    last = start + size
    for pattern in (_PARAGRAPH, _SENTENCE, _SPACE, _between()):
        places = [match.end() for match in pattern.finditer(text, start + size // 2, last)]
        if places and places[-1] > start:
            return places[-1]
    limit = start + _LONGEST_WORD * size
    found = _word_end().search(text, last, limit)
    if found is not None:
        return found.end()
    while limit < len(text) and _mark().match(text, limit):
        limit += 1
    return min(limit, len(text))


def _start(text: str, start: int, end: int, overlap: int) -> int:
    """Where the next passage starts: with the last sentence before `end` if it is short, else with a word."""
    if not overlap:
        return end
    first = max(start + 1, end - 2 * overlap)
    sentences = [match.end() for match in _SENTENCE.finditer(text, first, end) if match.end() < end]
    if sentences:
        return sentences[-1]
    found = _word_end().search(text, max(start + 1, end - overlap), end)
    return found.end() if found is not None else end


@cache
def _between() -> re.Pattern[str]:
    """Between two characters of scripts without spaces, but not before a combining mark."""
    return re.compile(f"(?<=[{UNSPACED}{marks()}])(?=[{UNSPACED}])(?![{marks()}])")


@cache
def _word_end() -> re.Pattern[str]:
    return re.compile(rf"\s+|{_between().pattern}")


@cache
def _mark() -> re.Pattern[str]:
    return re.compile(f"[{marks()}]")
