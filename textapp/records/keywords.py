"""The words and phrases typical of each class, by TF-IDF: a preview of what a model can learn from the data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from textapp.errors import require
from textapp.records.labelled import label_names
from textapp.records.profile import labels_of

MAX_FEATURES = 50_000
MAX_TEXTS = 20_000  # evenly spread over the records
MAX_CHARACTERS = 500  # read of each text
# Han, kana and Thai are written without spaces: a run of such characters is split into character n-grams.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002a6df"
RUNS = re.compile(rf"([{UNSPACED}]+)|((?:(?![{UNSPACED}])\w)+(?:['’](?:(?![{UNSPACED}])\w)+)*)")
CLAUSES = re.compile(r"[.!?;:,()\"\n，。！？；：、（）“”《》]+")
CHARACTERS = (2, 3, 4)  # sizes of character n-grams: two characters make a word, more a phrase
WORDS = (1, 2, 3)
Sliced = TypeVar("Sliced", str, list[str])


def keywords(records: Sequence[Mapping[str, Any]], max_terms: int = 8) -> dict[str, dict[str, list[str]]]:
    """The terms whose mean TF-IDF in the texts of a class exceeds that in all other texts the most.

    Text with spaces gives words, and phrases of two or three words; Chinese gives pairs of characters, and phrases of
    three or four characters. One text may have both.

    Args:
        records: with `text` and `label`.
        max_terms: maximum number of words, and of phrases, for each class.

    Returns:
        `{label: {"words": [...], "phrases": [...]}}`, the most typical first.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    vectorizer_class = require("sklearn.feature_extraction.text", "evaluate").TfidfVectorizer
    records = records[:: -(-len(records) // MAX_TEXTS)]
    # A term of one text only says nothing about a class, unless there are few texts.
    vectorizer = vectorizer_class(
        analyzer=lambda text: list(terms(text)), min_df=2 if len(records) > 20 else 1, max_df=0.5,
        max_features=MAX_FEATURES, sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    labels = label_names(records)
    try:
        weights = vectorizer.fit_transform(record["text"][:MAX_CHARACTERS] for record in records)
    except ValueError:  # no terms: the texts have no words
        return {label: {"words": [], "phrases": []} for label in labels}
    names = vectorizer.get_feature_names_out()
    total = np.asarray(weights.sum(axis=0)).ravel()
    result = {}
    for label in labels:
        in_class = np.array([label in labels_of(record) for record in records])
        class_total = np.asarray(weights[in_class].sum(axis=0)).ravel()
        gain = class_total / in_class.sum() - (total - class_total) / max(1, (~in_class).sum())
        result[label] = _most_typical(names, gain, max_terms)
    return result


def terms(text: str) -> Iterator[str]:
    """Yields the words and phrases of a text in lower case; none spans a punctuation mark.

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


def _most_typical(names: np.ndarray, gain: np.ndarray, max_terms: int) -> dict[str, list[str]]:
    """The terms with the largest gain, without those that contain, or are part of, one with a larger gain."""
    chosen: dict[str, list[str]] = {"words": [], "phrases": []}
    for index in np.argsort(-gain, kind="stable")[: 40 * max_terms]:
        name = str(names[index])
        terms_of_kind = chosen["phrases" if _is_phrase(name) else "words"]
        repeats = any(name in other or other in name for other in terms_of_kind)
        if gain[index] > 0 and len(terms_of_kind) < max_terms and not repeats:
            terms_of_kind.append(name)
    return chosen


def _is_phrase(term: str) -> bool:
    unspaced = re.match(f"[{UNSPACED}]", term) is not None
    return " " in term or (unspaced and len(term) > CHARACTERS[0])
