"""Tokenises only as much of a long text as a model reads, with the ids that the whole text has.

A text of ten megabytes is cut by characters before it is tokenised. The cut is at a space, which ends a token in every
tokenizer here; where a text has no spaces, two cuts have to give the same ids.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

WHOLE = 1 << 12  # characters up to which a text is tokenised whole, plus those of the tokens
WHOLE_PER_TOKEN = 32
PER_TOKEN = 8  # characters read at first for each token
GROWTH = 4  # times more, if these gave too few tokens
MARGIN = 32  # tokens next to a cut that are not trusted
NEAR = 1 << 10  # characters in which a space is looked for
MOST = 1 << 20  # characters of a text with few tokens, such as a megabyte of spaces or a word of a megabyte
MAX_DISAGREEMENTS = 3  # texts like a million equal letters, whose tokens depend on their number


log = logging.getLogger("textapp")


class Part(NamedTuple):
    """The part of a text that was tokenised.

    Attributes:
        text: the whole text, or its beginning or end.
        ids: its token ids, without special tokens; of a part more than the model reads.
        whole: whether it is the whole text.
    """

    text: str
    ids: list[int]
    whole: bool


def whole_below(count: int) -> int:
    """The number of characters up to which a text is tokenised whole, for a model that reads `count` tokens."""
    return WHOLE + WHOLE_PER_TOKEN * count


def beginning(tokenizer: Tokenizer, text: str, count: int) -> Part:
    """The beginning of a text, whose first `count` ids are those of the whole text.

    Args:
        tokenizer: of the text.
        text: any text.
        count: number of tokens that the model reads.
    """
    return (
        Part(text, tokenizer.ids(text), True)
        if len(text) <= whole_below(count)
        else _part(tokenizer, text, count, False)
    )


def ending(tokenizer: Tokenizer, text: str, count: int) -> Part:
    """The end of a text, whose last `count` ids are those of the whole text.

    Args:
        tokenizer: of the text.
        text: any text.
        count: number of tokens that the model reads.
    """
    if (
        len(text) <= whole_below(count) or "html" in tokenizer.python_steps
    ):  # where markup begins is known from the start only
        return Part(text, tokenizer.ids(text), True)
    return _part(tokenizer, text, count, True)


def _part(tokenizer: Tokenizer, text: str, count: int, at_end: bool) -> Part:
    size, before, disagreements = PER_TOKEN * count + NEAR, None, 0
    while size < min(len(text), MOST):
        part, at_space = _cut(tokenizer, text, size, at_end)
        if len(part) == len(text):
            break
        ids = tokenizer.ids(part)
        if len(ids) >= count + MARGIN:
            kept = ids[-count:] if at_end else ids[:count]
            if at_space or kept == before or disagreements == MAX_DISAGREEMENTS:
                return Part(part, ids, False)
            disagreements += before is not None
            before, size = kept, size + size // 2 + 1  # an odd number more: letters that are paired are paired anew
        else:
            size *= GROWTH
    if len(text) <= MOST:
        return Part(text, tokenizer.ids(text), True)
    log.warning(
        "%r...: has too few tokens: only its %s %d characters are read", text[:40], "last" if at_end else "first", MOST
    )
    part = text[-MOST:] if at_end else text[:MOST]
    return Part(part, tokenizer.ids(part), False)


def _cut(tokenizer: Tokenizer, text: str, size: int, at_end: bool) -> tuple[str, bool]:
    """About `size` characters of a text, and whether they are cut at a space."""
    if at_end:
        start = len(text) - size
        places = [place for place in (text.find(space, start, start + NEAR) for space in " \n") if place >= 0]
        return text[min(places, default=start) :], bool(places)
    place = max(text.rfind(space, size - NEAR, size) for space in " \n")
    cut = place if place > 0 else size
    if "html" in tokenizer.python_steps:
        cut = _behind_tag(text, cut)
    return text[:cut], place > 0


def _behind_tag(text: str, cut: int) -> int:
    """The place behind the tag in which `cut` lies, if it lies in one."""
    opened, closed = text.rfind("<", 0, cut), text.rfind(">", 0, cut)
    if opened <= closed:
        return cut
    end, other = text.find(">", cut), text.find("<", cut)
    return end + 1 if end >= 0 and (other < 0 or end < other) else cut
