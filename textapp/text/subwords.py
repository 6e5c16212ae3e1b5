"""The n-grams of characters inside the pieces of a vocabulary: what words of one family have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 24  # n-grams of one piece, the short ones first: all of a word of ten letters at 3 to 5
SPECIAL = 4  # ids that stand for no text: padding, unknown, start and end


def piece_ngrams(pieces: Sequence[str], shortest: int, longest: int) -> np.ndarray:
    """Numbers the n-grams of characters of each piece (Bojanowski et al., 2017).

    An n-gram counts as often as it stands in the piece; the piece itself is none of its own. The mark of a word's
    start is a character like any other, so that an n-gram at the start is told from one inside.

    Args:
        pieces: the vocabulary by id, the special tokens first.
        shortest, longest: lengths in characters.

    Returns:
        int32 `[pieces, most n-grams of a piece]`: numbers from 1 in the order in which the n-grams are first seen,
        then 0 for none.

    Example: the pieces `abc` and `bcd` at 2 to 2, after four special ones, give the rows `[1, 2]` (ab, bc) and
        `[2, 3]` (bc, cd).
    """
    numbers: dict[str, int] = {}
    rows: list[list[int]] = []
    for place, piece in enumerate(pieces):
        found = [
            piece[start : start + length]
            for length in range(shortest, min(longest, len(piece) - 1) + 1)
            for start in range(len(piece) - length + 1)
        ]
        kept = [] if place < SPECIAL else found[:MOST]
        rows.append([numbers.setdefault(ngram, len(numbers) + 1) for ngram in kept])
    table = np.zeros((len(rows), max(1, *map(len, rows))), np.int32)
    for target, row in zip(table, rows, strict=True):
        target[: len(row)] = row
    return table
