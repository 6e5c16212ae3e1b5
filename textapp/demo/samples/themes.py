"""What a passage is made of: one theme's sentences, with gaps for words."""

from __future__ import annotations

from typing import NamedTuple


class Theme(NamedTuple):
    """Sentences on one thing; a passage has one opening, some details in any order, and one closing.

    Gaps name lists of words, `{place}`; `{goods2}` is another word of the same list.
    """

    openings: tuple[str, ...]
    details: tuple[str, ...]
    closings: tuple[str, ...]


def words(listed: str) -> tuple[str, ...]:
    """`words("snow, rain")` is `("snow", "rain")`."""
    return tuple(listed.split(", "))
