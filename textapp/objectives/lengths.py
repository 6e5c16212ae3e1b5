"""The lengths of an edge bundle: training needs few buckets, an answer takes as long as its padding.

Only where the buckets were chosen from the data; lengths that a config names are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Every signature in use keeps its own packed weights in memory, so there are few of them.
MOST_LENGTHS = 8
STEP = 8
LEAST_SPARED = 0.02  # of all tokens and padding: what spares less is not worth a signature


def finer_lengths(lengths: Sequence[int], token_counts: Sequence[int]) -> list[int]:
    """Adds the lengths that spare these texts the most padding.

    Args:
        lengths: the buckets that the model was trained with, ascending.
        token_counts: length in tokens of some real texts.

    Returns:
        All of `lengths`, and between them multiples of 8, at most 8 in all, ascending.

    Example: `finer_lengths([16, 64], [12] * 50 + [35] * 50)` is `[16, 40, 64]`.
    """
    counts = np.minimum(token_counts, lengths[-1])
    chosen = list(lengths)
    while len(chosen) < MOST_LENGTHS:
        more = {
            length: _padded(counts, [*chosen, length])
            for length in range(STEP, lengths[-1], STEP)
            if length not in chosen
        }
        before = _padded(counts, chosen)
        best = min(more, key=more.__getitem__, default=None)
        if best is None or before - more[best] < LEAST_SPARED * before:
            break
        chosen.append(best)
    return sorted(chosen)


def _padded(counts: np.ndarray, lengths: Sequence[int]) -> int:
    """Tokens and padding of all texts, each in the smallest length that takes it."""
    ascending = np.sort(lengths)
    return int(ascending[np.searchsorted(ascending, counts)].sum())
