"""Fills the frames of both languages with words: the same samples on every machine.

The test split holds only combinations that train never shows: some nouns never meet some words in train, plain or
negated, and some pairs of things are never set against each other.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import NamedTuple

from textapp.demo.samples.chinese import CHINESE
from textapp.demo.samples.english import ENGLISH
from textapp.demo.samples.words import Aspect, Frame, Language, Topic

SEED = 20240607
TRAIN_PER_LANGUAGE = 1500
TEST_PER_LANGUAGE = 300
KEPT_FOR_TEST = 5  # one combination in five
MIXTURE = ("plain",) * 11 + ("double",) * 5 + ("negated",) * 2 + ("contrasted",) * 2  # of 20 texts
SHARE_OF_SCENES = 0.4
LABELS = ("negative", "positive")


class Sample(NamedTuple):
    """One review."""

    label: str
    text: str


def make_samples(seed: int = SEED) -> tuple[list[Sample], list[Sample]]:
    """Makes the samples of train and of test, both halves of them English and Chinese, labels in balance.

    Returns:
        3000 for training, 600 for testing; no text stands twice.

    Example: `Sample("positive", "I saw it at the cinema. The plot was anything but boring.")`
    """
    choice = random.Random(seed)
    seen: set[str] = set()
    splits = []
    for per_language, for_test in ((TRAIN_PER_LANGUAGE, False), (TEST_PER_LANGUAGE, True)):
        samples = [
            _unseen(choice, language, LABELS[number % 2], MIXTURE[number // 2 % len(MIXTURE)], for_test, seen)
            for language in (ENGLISH, CHINESE)
            for number in range(per_language)
        ]
        choice.shuffle(samples)
        splits.append(samples)
    return splits[0], splits[1]


def _unseen(choice: random.Random, language: Language, label: str, kind: str, for_test: bool, seen: set[str]) -> Sample:
    while True:
        topic = language.topics[choice.choice(sorted(language.topics))]
        text = KINDS[kind](choice, language, topic, label, for_test)
        if text is None:
            continue
        if choice.random() < SHARE_OF_SCENES:
            text = choice.choice(topic.scenes) + language.gap + text
        if text not in seen:
            seen.add(text)
            return Sample(label, text)


# --- kinds of texts: each gives None where chance drew a combination of the other split ----------------------------


def _plain(choice: random.Random, language: Language, topic: Topic, label: str, for_test: bool) -> str | None:
    return _clause(choice, language.plain, choice.choice(topic.aspects), label, for_test)


def _negated(choice: random.Random, language: Language, topic: Topic, label: str, for_test: bool) -> str | None:
    return _clause(choice, language.negated, choice.choice(topic.aspects), label, for_test)


def _double(choice: random.Random, language: Language, topic: Topic, label: str, for_test: bool) -> str | None:
    """Two judgements that agree, the second one perhaps by a negation."""
    first, second = choice.sample(topic.aspects, 2)
    frames = choice.choice((language.plain, language.plain, language.negated))
    opening = _clause(choice, language.plain, first, label, for_test)
    closing = _clause(choice, frames, second, label, for_test)
    return opening + language.gap + closing if opening and closing else None


def _contrasted(choice: random.Random, language: Language, topic: Topic, label: str, for_test: bool) -> str | None:
    """Two judgements that differ; the main clause decides."""
    first, second = choice.sample(topic.aspects, 2)
    frame, noun, other = choice.choice(language.contrasted), choice.choice(first.nouns), choice.choice(second.nouns)
    word, flaw = choice.choice(_words(first, label)), choice.choice(_words(second, _opposite(label)))
    if not _allows(frame, label) or noun == other or _is_for_test(noun, other) != for_test:
        return None
    return _filled(frame, noun=noun, word=word, other=other, flaw=flaw)


KINDS: dict[str, Callable[..., str | None]] = {
    "plain": _plain, "double": _double, "negated": _negated, "contrasted": _contrasted
}  # fmt: skip


def _clause(choice: random.Random, frames: tuple[Frame, ...], aspect: Aspect, label: str, for_test: bool) -> str | None:
    frame, noun = choice.choice(frames), choice.choice(aspect.nouns)
    polarity = _opposite(label) if frame.flips else label
    word = choice.choice(_words(aspect, polarity))
    if not _allows(frame, polarity) or _is_for_test(noun, word) != for_test:
        return None
    return _filled(frame, noun=noun, word=word)


def _words(aspect: Aspect, polarity: str) -> tuple[str, ...]:
    return aspect.good if polarity == "positive" else aspect.bad


def _opposite(label: str) -> str:
    return LABELS[1 - LABELS.index(label)]


def _allows(frame: Frame, polarity: str) -> bool:
    return frame.word in ("either", "good" if polarity == "positive" else "bad")


def _is_for_test(one: str, other: str) -> bool:
    """A fixed choice of one combination in five; `hash` would differ in every process."""
    return zlib.crc32(f"{one}|{other}".encode()) % KEPT_FOR_TEST == 0


def _filled(frame: Frame, **words: str) -> str:
    text = frame.text.format(**words)
    for vowel in "aeiou":  # "What a awful soup!"
        text = text.replace(f" a {vowel}", f" an {vowel}")
    return text
