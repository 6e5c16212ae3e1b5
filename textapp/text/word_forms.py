"""What the pieces of a vocabulary have in common: folded forms and stems, and how rare each is."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEM = 5  # characters, the mark of a word's beginning included; what follows is mostly inflection


@dataclass(frozen=True)
class WordForms:
    """Three properties of each piece, by id.

    Attributes:
        folded: int32 `[pieces]`, equal for pieces that differ by case and accents only; -1 for the unknown token, which
            stands for a different word each time.
        stems: int32 `[pieces]`, equal for pieces whose folded forms begin alike.
        idf: float32 `[pieces]`, the inverse document frequency: 0 for a piece of every text, 1 for a piece of one.
    """

    folded: np.ndarray
    stems: np.ndarray
    idf: np.ndarray


def word_forms(pieces: Sequence[str], unknown_id: int, texts: Sequence[np.ndarray]) -> WordForms:
    """The forms of a vocabulary.

    Args:
        pieces: the vocabulary, by id.
        unknown_id: of the token for what is not in it.
        texts: the ids of each text, int32 `[tokens]` each, which the frequencies are counted in.

    Example: of the pieces `▁Tower`, `▁tower` and `▁towers`, the first two have one folded form, all three one stem.
    """
    forms = [_folded(piece) for piece in pieces]
    folded = _numbered(forms)
    folded[unknown_id] = -1
    counts = np.zeros(len(pieces), np.int64)
    for ids in texts:
        counts[np.unique(ids)] += 1
    idf = np.log((1 + len(texts)) / (1 + counts)) / np.log((1 + len(texts)) / 2) if len(texts) > 1 else counts * 0.0
    return WordForms(folded, _numbered([form[:STEM] for form in forms]), np.clip(idf, 0, 1).astype(np.float32))


def _folded(piece: str) -> str:
    """Without case and without the accents of letters; a piece of accents alone stays as it is."""
    decomposed = unicodedata.normalize("NFKD", piece).casefold()
    return "".join(char for char in decomposed if not unicodedata.combining(char)) or piece


def _numbered(forms: Sequence[str]) -> np.ndarray:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(form, len(numbers)) for form in forms], np.int32)
