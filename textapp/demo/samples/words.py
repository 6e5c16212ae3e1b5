"""What the words of one language look like: aspects of topics, and the sentences around them."""

from __future__ import annotations

from typing import NamedTuple


class Aspect(NamedTuple):
    """Things that can be praised or blamed with the same words, divided by spaces in the lists below."""

    nouns: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]


class Topic(NamedTuple):
    """What people write about: its aspects, and sentences that set the scene and judge nothing."""

    aspects: tuple[Aspect, ...]
    scenes: tuple[str, ...]


class Frame(NamedTuple):
    """A sentence with gaps.

    Attributes:
        text: has the gaps `{noun}` and `{word}`; in contrasts these are what counts, `{other}` and `{flaw}` the rest.
        word: is the word that fills the gap good, bad, or either?
        flips: does the sentence turn the word into its opposite?
    """

    text: str
    word: str = "either"
    flips: bool = False


class Language(NamedTuple):
    """All that the generator needs of a language."""

    topics: dict[str, Topic]
    plain: tuple[Frame, ...]
    negated: tuple[Frame, ...]
    contrasted: tuple[Frame, ...]
    gap: str  # between two sentences


def aspect(nouns: str, good: str, bad: str) -> Aspect:
    """Makes an aspect from lists.

    Args:
        nouns, good, bad: words separated by commas.
    """
    return Aspect(*(tuple(word.strip() for word in words.split(",")) for words in (nouns, good, bad)))
