"""The lengths of an edge bundle's signatures: more than the buckets of training, as padding costs time in each answer.

Only where the buckets were chosen from the data; lengths named in a config are not changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_LENGTHS = 8  # few, because every signature in use has its own packed weights in memory
STEP = 8
MIN_SAVING = 0.02  # of all tokens and padding; a length that saves less is not worth a signature


def finer_lengths(lengths: Sequence[int], token_counts: Sequence[int]) -> list[int]:
    """Adds the lengths that save these texts the most padding.

    Args:
        lengths: the buckets that the model was trained with, ascending.
        token_counts: tokens of each of some real texts.

    Returns:
        all of `lengths`, and multiples of 8 between them, at most 8 in all, ascending.

    Example: `finer_lengths([16, 64], [12] * 50 + [35] * 50)` is `[16, 40, 64]`.
    """
    counts = np.minimum(token_counts, lengths[-1])
    chosen = list(lengths)
    while len(chosen) < MAX_LENGTHS:
        more = {
            length: _padded(counts, [*chosen, length])
            for length in range(STEP, lengths[-1], STEP)
            if length not in chosen
        }
        before = _padded(counts, chosen)
        best = min(more, key=more.__getitem__, default=None)
        if best is None or before - more[best] < MIN_SAVING * before:
            break
        chosen.append(best)
    return sorted(chosen)


def _padded(counts: np.ndarray, lengths: Sequence[int]) -> int:
    """Tokens and padding of all texts, each in the smallest length that holds it."""
    ascending = np.sort(lengths)
    return int(ascending[np.searchsorted(ascending, counts)].sum())
