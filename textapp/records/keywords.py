"""The words and phrases that mark each class, by TF-IDF: a look at what a model will find in the data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from textapp.errors import require
from textapp.records.loading import label_names
from textapp.records.profile import labels_of

MOST_FEATURES = 50_000
MOST_TEXTS = 20_000  # evenly spread over the records
MOST_CHARACTERS = 500  # read of each text
# Han, kana and Thai are written without spaces: there a run of characters is cut into n-grams of characters.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002a6df"
RUNS = re.compile(rf"([{UNSPACED}]+)|((?:(?![{UNSPACED}])\w)+(?:['’](?:(?![{UNSPACED}])\w)+)*)")
CLAUSES = re.compile(r"[.!?;:,()\"\n，。！？；：、（）“”《》]+")
CHARACTERS = (2, 3, 4)  # n-grams of characters: two make a word, more a phrase
WORDS = (1, 2, 3)
Sliced = TypeVar("Sliced", str, list[str])


def keywords(records: Sequence[Mapping[str, Any]], most: int = 8) -> dict[str, dict[str, list[str]]]:
    """The terms whose mean TF-IDF in the texts of a class is furthest above that in all other texts.

    Text with spaces gives words and phrases of two or three; Chinese gives pairs of characters and phrases of
    three or four. Both may stand in one text.

    Args:
        records: with `text` and `label`.
        most: words, and as many phrases, for each class.

    Returns:
        `{label: {"words": [...], "phrases": [...]}}`, the strongest first.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    vectorizer_class = require("sklearn.feature_extraction.text", "evaluate").TfidfVectorizer
    records = records[:: -(-len(records) // MOST_TEXTS)]
    # Terms of one text alone say nothing about a class, except where there are few texts.
    vectorizer = vectorizer_class(
        analyzer=lambda text: list(terms(text)), min_df=2 if len(records) > 20 else 1, max_df=0.5,
        max_features=MOST_FEATURES, sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    labels = label_names(records)
    try:
        weights = vectorizer.fit_transform(record["text"][:MOST_CHARACTERS] for record in records)
    except ValueError:  # no term is left: texts without words
        return {label: {"words": [], "phrases": []} for label in labels}
    names = vectorizer.get_feature_names_out()
    total = np.asarray(weights.sum(axis=0)).ravel()
    found = {}
    for label in labels:
        inside = np.array([label in labels_of(record) for record in records])
        within = np.asarray(weights[inside].sum(axis=0)).ravel()
        gain = within / inside.sum() - (total - within) / max(1, (~inside).sum())
        found[label] = _strongest(names, gain, most)
    return found


def terms(text: str) -> Iterator[str]:
    """The words and phrases of a text, lower-cased, none of them across a punctuation mark.

    Example: `terms("Good film")` gives `good`, `film`, `good film`; `terms("很好看")` gives `很好`, `好看`, `很好看`.
    """
    for clause in CLAUSES.split(text.lower()):
        words: list[str] = []
        for match in RUNS.finditer(clause):
            unspaced, word = match.groups()
            if word:
                words.append(word)
            else:
                yield from _grams(unspaced, CHARACTERS)
        yield from (" ".join(gram) for gram in _grams(words, WORDS))


def _grams(items: Sliced, sizes: Sequence[int]) -> Iterator[Sliced]:
    for size in sizes:
        for start in range(len(items) - size + 1):
            yield items[start : start + size]


def _strongest(names: np.ndarray, gain: np.ndarray, most: int) -> dict[str, list[str]]:
    """The terms with the largest gain, without those that repeat a part of a stronger one."""
    found: dict[str, list[str]] = {"words": [], "phrases": []}
    for index in np.argsort(-gain, kind="stable")[: 40 * most]:
        name = str(names[index])
        chosen = found["phrases" if _is_phrase(name) else "words"]
        repeats = any(name in other or other in name for other in chosen)
        if gain[index] > 0 and len(chosen) < most and not repeats:
            chosen.append(name)
    return found


def _is_phrase(term: str) -> bool:
    unspaced = re.match(f"[{UNSPACED}]", term) is not None
    return " " in term or (unspaced and len(term) > CHARACTERS[0])
