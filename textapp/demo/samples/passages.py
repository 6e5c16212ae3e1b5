"""Writes short descriptive passages, Chinese and English, from the themes: the same on every machine.

The test split holds only unseen combinations: each of its passages has two words that no training passage has
together, though training has each of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from textapp.demo.samples import passages_chinese, passages_english
from textapp.demo.samples.frames import GAP
from textapp.demo.samples.pairs import kept_apart
from textapp.demo.samples.themes import Theme

SEED = 20240609
TRAIN_PASSAGES, TEST_PASSAGES = 1500, 100  # of each language
KEPT_FOR_TEST = 50  # one combination of two words in fifty; a passage has many
MIN_DETAILS, MAX_DETAILS = 2, 4
LANGUAGES = (
    (passages_chinese.THEMES, passages_chinese.LISTS, ""),
    (passages_english.THEMES, passages_english.LISTS, " "),
)


def make_passages(seed: int = SEED) -> tuple[list[str], list[str]]:
    """Makes the passages of train and of test, both halves of them Chinese and English; none stands twice.

    Returns:
        3000 for training, 200 for testing.

    Example: `"春天来了。桃花开满了山坡。孩子们在草地上放风筝。到处都是新的生命。"`
    """
    choice = random.Random(seed)
    seen: set[str] = set()
    splits = []
    for size, for_test in ((TRAIN_PASSAGES, False), (TEST_PASSAGES, True)):
        passages = [
            _unseen(choice, themes, lists, gap, for_test, seen) for themes, lists, gap in LANGUAGES for _ in range(size)
        ]
        choice.shuffle(passages)
        splits.append(passages)
    return splits[0], splits[1]


def _unseen(
    choice: random.Random,
    themes: Mapping[str, Theme],
    lists: Mapping[str, tuple[str, ...]],
    gap: str,
    for_test: bool,
    seen: set[str],
) -> str:
    while True:
        theme = themes[choice.choice(sorted(themes))]
        details = choice.sample(theme.details, choice.randint(MIN_DETAILS, MAX_DETAILS))
        sentences = [choice.choice(theme.openings), *details, choice.choice(theme.closings)]
        passage, words = fill(choice, sentences, lists, gap)
        if passage not in seen and kept_apart(words, KEPT_FOR_TEST) == for_test:
            seen.add(passage)
            return passage


def fill(
    choice: random.Random, sentences: list[str], lists: Mapping[str, tuple[str, ...]], gap: str
) -> tuple[str, list[str]]:
    """Fills the gaps of sentences, without using a word twice.

    Args:
        choice: the random choice.
        sentences: with gaps such as `{animal}`.
        lists: the words of each gap.
        gap: between two sentences.

    Returns:
        The passage, and the words that went into its gaps.
    """
    used: list[str] = []
    filled = []
    for sentence in sentences:
        words = {}
        for name in GAP.findall(sentence):
            words[name] = choice.choice([word for word in lists[name.rstrip("2")] if word not in used])
            used.append(words[name])
        text = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", sentence.format(**words))
        filled.append(text[0].upper() + text[1:])
    return gap.join(filled), used
