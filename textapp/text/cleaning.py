"""Text cleaning in named steps, which can map every character that they keep to its position in the original text.

`clean_text` is the fast way, for token ids; `clean` also returns the positions, for offsets into the original text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import NamedTuple

# The steps run in this order, whatever their order in the config: markup first, spaces last.
STEPS = ("html", "urls", "full_width", "nfkc", "lowercase", "whitespace")

URL_WORD = "url"


class Cleaned(NamedTuple):
    """A cleaned text and where its characters came from.

    Attributes:
        text: the cleaned text.
        origins: for each character of `text` the index in the original at which its source starts, then the length
            of the original: `len(text) + 1` entries, ascending. None if nothing changed.
        ends: for each character the index in the original at which its source ends. None if nothing changed.
    """

    text: str
    origins: list[int] | None
    ends: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The range `[start, end)` of the original that became `text[start:end]`."""
        if self.origins is None or self.ends is None:
            return start, end
        first = self.origins[start]
        return first, max(first, self.ends[end - 1]) if end > start else first


class Piece(NamedTuple):
    """A range of a text, `[start, end)`, and its replacement."""

    start: int
    end: int
    replacement: str


class Step(NamedTuple):
    """One cleaning step, in two forms that give the same text.

    Attributes:
        fast: the text to the cleaned text.
        pieces: the text to the changed pieces, in ascending order.
    """

    fast: Callable[[str], str]
    pieces: Callable[[str], Iterable[Piece]]


def clean_text(text: str, steps: Collection[str]) -> str:
    """Cleans a text without keeping origins.

    Args:
        text: any text.
        steps: names from `STEPS`; they run in the order of `STEPS`.

    Example:
        clean_text("<b>Ｇｏｏｄ</b>  film", ["html", "full_width", "whitespace"]) == "Good film"
    """
    for name, step in _STEPS.items():
        if name in steps:
            text = step.fast(text)
    return text


def clean(text: str, steps: Collection[str]) -> Cleaned:
    """Cleans a text and keeps the origin of every character.

    Args:
        text: any text.
        steps: names from `STEPS`; they run in the order of `STEPS`.

    Returns:
        The same text as `clean_text`, with origins.

    Example:
        clean("<b>ab</b>", ["html"]) == Cleaned("ab", origins=[3, 4, 9], ends=[4, 5])
    """
    cleaned = Cleaned(text, None, None)
    for name, step in _STEPS.items():
        if name in steps:
            cleaned = _apply(cleaned, step)
    return cleaned


def check_steps(steps: Iterable[str]) -> tuple[str, ...]:
    """Sorts the names of steps into the order in which they run.

    Raises:
        ValueError: a name is unknown.
    """
    steps = set(steps)
    if unknown := sorted(steps - set(STEPS)):
        raise ValueError(f"unknown cleaning steps {unknown}; expected names from {', '.join(STEPS)}")
    return tuple(step for step in STEPS if step in steps)


def _apply(before: Cleaned, step: Step) -> Cleaned:
    """Runs one step on the output of earlier steps, and maps its origins to the original text."""
    text = before.text
    if step.fast(text) == text:
        return before
    parts: list[str] = []
    origins: list[int] = []
    ends: list[int] = []
    done = 0
    for start, end, replacement in step.pieces(text):
        parts += (text[done:start], replacement)
        origins += [*range(done, start), *[start] * len(replacement)]
        ends += [*range(done + 1, start + 1), *[end] * len(replacement)]
        done = end
    parts.append(text[done:])
    origins += range(done, len(text) + 1)
    ends += range(done + 1, len(text) + 1)
    if before.origins is not None and before.ends is not None:
        origins = [before.origins[index] for index in origins]
        ends = [before.ends[index - 1] for index in ends]
    return Cleaned("".join(parts), origins, ends)


# --- html ----------------------------------------------------------------------------------------------------------

# As in a browser, an unclosed comment, script or style runs to the end; this also avoids quadratic time.
_MARKUP = re.compile(
    r"(?P<silent><!--.*?(?:-->|\Z)|<(?P<raw>script|style)\b.*?(?:</(?P=raw)\s*>|\Z))"
    r"|<[/!]?(?P<tag>[a-z][a-z0-9]*)[^<>]*>"
    r"|&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});",
    re.IGNORECASE | re.DOTALL,
)
_BLOCKS = re.compile(
    "address|article|aside|blockquote|body|br|button|caption|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|"
    "figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|li|main|menu|nav|ol|option|p|pre|section|select|"
    "summary|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul",
    re.IGNORECASE,
)


def _without_markup(match: re.Match[str]) -> str:
    if match["silent"]:
        return " "
    if match["tag"]:
        return " " if _BLOCKS.fullmatch(match["tag"]) else ""
    return html.unescape(match[0])


def _html_fast(text: str) -> str:
    return _MARKUP.sub(_without_markup, text) if "<" in text or "&" in text else text


def _html_pieces(text: str) -> Iterable[Piece]:
    return (Piece(*match.span(), _without_markup(match)) for match in _MARKUP.finditer(text))


# --- urls ----------------------------------------------------------------------------------------------------------

# ASCII only, so that Chinese text directly after a URL stays; a final full stop or bracket belongs to the sentence.
_URL = re.compile(r"(?:https?://|(?<![a-z0-9])www\.)[!#-;=?-~]*[a-z0-9/_#=&%+@~-]", re.IGNORECASE | re.ASCII)


def _urls_fast(text: str) -> str:
    return _URL.sub(URL_WORD, text) if "://" in text or "www." in text.lower() else text


def _urls_pieces(text: str) -> Iterable[Piece]:
    return (Piece(*match.span(), URL_WORD) for match in _URL.finditer(text))


# --- full width ----------------------------------------------------------------------------------------------------

_HALF_WIDTH = {full: full - 0xFEE0 for full in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def _full_width_fast(text: str) -> str:
    return text if text.isascii() else text.translate(_HALF_WIDTH)


def _full_width_pieces(text: str) -> Iterable[Piece]:
    return (Piece(i, i + 1, chr(_HALF_WIDTH[ord(c)])) for i, c in enumerate(text) if ord(c) in _HALF_WIDTH)


# --- nfkc ----------------------------------------------------------------------------------------------------------


def _nfkc_fast(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _nfkc_pieces(text: str) -> Iterable[Piece]:
    """Normalises cluster by cluster: a character that may compose or swap with the one before it joins its cluster."""
    starts = [index for index, character in enumerate(text) if index == 0 or not _joins(character)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        cluster = text[start:end]
        normal = unicodedata.normalize("NFKC", cluster)
        if normal != cluster:
            yield Piece(start, end, normal)


@cache
def _joins(character: str) -> bool:
    if character.isascii():
        return False
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(first) != 0 or first in _second_parts()


@cache
def _second_parts() -> frozenset[str]:
    """Every character that can merge with the one before it; no composition lies above U+1FFFF."""
    forms = (unicodedata.decomposition(chr(code)).split() for code in range(0x20000))
    seconds = {chr(int(form[1], 16)) for form in forms if len(form) == 2 and not form[0].startswith("<")}
    hangul_vowels_and_finals = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
    return frozenset(seconds | {chr(code) for code in hangul_vowels_and_finals})


# --- lower case ----------------------------------------------------------------------------------------------------


def _lowercase_pieces(text: str) -> Iterable[Piece]:
    for index, character in enumerate(text):
        folded = character.casefold()
        if folded != character:
            yield Piece(index, index + 1, folded)


# --- whitespace ----------------------------------------------------------------------------------------------------

_SPACES = re.compile(r"\s+")


def _whitespace_fast(text: str) -> str:
    return " ".join(text.split())


def _whitespace_pieces(text: str) -> Iterable[Piece]:
    for match in _SPACES.finditer(text):
        start, end = match.span()
        if match[0] != " " or start == 0 or end == len(text):
            yield Piece(start, end, "" if start == 0 or end == len(text) else " ")


_STEPS = {
    "html": Step(_html_fast, _html_pieces),
    "urls": Step(_urls_fast, _urls_pieces),
    "full_width": Step(_full_width_fast, _full_width_pieces),
    "nfkc": Step(_nfkc_fast, _nfkc_pieces),
    # Case folding rather than lower case: it looks at one character at a time, and SentencePiece does the same.
    "lowercase": Step(str.casefold, _lowercase_pieces),
    "whitespace": Step(_whitespace_fast, _whitespace_pieces),
}
