"""Fills the parallel frames with words: the same pairs of sentences on every machine.

The test split holds only unseen combinations: each of its sentences has two words that no training sentence has
together, though training has each of them.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from textapp.demo.samples.forms import Forms, Word
from textapp.demo.samples.frames import LISTS, TOPICS, Frame

SEED = 20240608
TRAIN_PAIRS, TEST_PAIRS = 8000, 300
KEPT_FOR_TEST = 8  # one combination of two words in eight
MIXTURE = ("weather", "weather", "time", "places", "people", "people", "food", "things")
# What the demo translates, and all that differs from it in the day or in the adjective alone, stands in neither split.
DEMO = re.compile("今天天气很|天天气很好")


class Pair(NamedTuple):
    """One sentence in both languages."""

    source: str
    target: str


def make_pairs(seed: int = SEED) -> tuple[list[Pair], list[Pair]]:
    """Makes the pairs of train and of test, Chinese to English; no Chinese sentence stands twice.

    Returns:
        8000 for training, 300 for testing.

    Example: `Pair("请给我两碗面条。", "Please give me two bowls of noodles.")`
    """
    choice = random.Random(seed)
    seen: set[str] = set()
    train = _split(choice, TRAIN_PAIRS, False, seen)
    known = {word for pair in train for word in pair.target.lower().split()}
    return train, _split(choice, TEST_PAIRS, True, seen, known)


def _split(
    choice: random.Random, size: int, for_test: bool, seen: set[str], known: set[str] | None = None
) -> list[Pair]:
    pairs: list[Pair] = []
    while len(pairs) < size:
        frame = choice.choice(TOPICS[choice.choice(MIXTURE)])
        words = draw(choice, frame)
        if words is None or _is_for_test(words) != for_test:
            continue
        pair = fill(frame, words)
        if pair.source in seen or DEMO.search(pair.source):
            continue
        if known is None or known.issuperset(pair.target.lower().split()):
            seen.add(pair.source)
            pairs.append(pair)
    return pairs


def draw(choice: random.Random, frame: Frame) -> dict[str, Word] | None:
    """A word for each gap of a frame; None where chance drew words that do not go together."""
    words = {gap: choice.choice(LISTS[gap.rstrip("2")]) for gap in frame.gaps}
    tags = [words[gap].tags for gap in frame.fits.split()]
    distinct = len({id(word) for word in words.values()}) == len(words)
    return words if distinct and (not tags or frozenset.intersection(*tags)) else None


def _is_for_test(words: dict[str, Word]) -> bool:
    return kept_apart((f"{word.chinese}" for word in words.values()), KEPT_FOR_TEST)


def kept_apart(words: Iterable[str], share: int) -> bool:
    """Are two of these words kept apart in training, as one combination in `share` is?"""
    # `hash` would differ in every process.
    return any(
        zlib.crc32("|".join(sorted(both)).encode()) % share == 0 for both in combinations(dict.fromkeys(words), 2)
    )


def fill(frame: Frame, words: dict[str, Word]) -> Pair:
    """The frame with its words in both languages."""
    english = frame.english.format(**{gap: word.english for gap, word in words.items()})
    english = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", english)  # "an egg"
    chinese: dict[str, Forms] = {gap: word.chinese for gap, word in words.items()}
    return Pair(frame.chinese.format(**chinese), english[0].upper() + english[1:])
