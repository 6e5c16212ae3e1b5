"""Character n-grams of the pieces of a vocabulary, which related words share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_NGRAMS = 24  # per piece, the short ones first: enough for all n-grams of 3 to 5 in a word of ten letters
NUM_SPECIAL = 4  # the first ids: padding, unknown, start and end


def piece_ngrams(pieces: Sequence[str], shortest: int, longest: int) -> np.ndarray:
    """Numbers the character n-grams of each piece (Bojanowski et al., 2017).

    An n-gram is listed once per occurrence; the whole piece is not one of its own n-grams. The mark of a word's start
    counts as a character, so an n-gram at the start of a word differs from the same one inside.

    Args:
        pieces: the vocabulary by id, the special tokens first.
        shortest, longest: n-gram lengths in characters, both included.

    Returns:
        int32 `[pieces, max n-grams per piece]`: numbers from 1 in order of first occurrence, padded with 0.

    Example: the pieces `abc` and `bcd` at 2 to 2, after four special ones, give the rows `[1, 2]` (ab, bc) and
        `[2, 3]` (bc, cd).
    """
    numbers: dict[str, int] = {}
    rows: list[list[int]] = []
    for piece_id, piece in enumerate(pieces):
        ngrams = [
            piece[start : start + length]
            for length in range(shortest, min(longest, len(piece) - 1) + 1)
            for start in range(len(piece) - length + 1)
        ]
        ngrams = [] if piece_id < NUM_SPECIAL else ngrams[:MAX_NGRAMS]
        rows.append([numbers.setdefault(ngram, len(numbers) + 1) for ngram in ngrams])
    table = np.zeros((len(rows), max(1, *map(len, rows))), np.int32)
    for target, row in zip(table, rows, strict=True):
        target[: len(row)] = row
    return table
