"""The lengths of an edge bundle's signatures: more than the buckets of training, because padding costs latency.

Used only if the buckets were chosen from the data; lengths in a config are not changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_LENGTHS = 8  # few, because every signature in use keeps its packed weights in memory
STEP = 8
MIN_SAVING = 0.02  # share of all tokens and padding that a further length has to save


def finer_lengths(lengths: Sequence[int], token_counts: Sequence[int]) -> list[int]:
    """Adds the lengths that save the most padding.

    Args:
        lengths: the buckets that the model was trained with, ascending.
        token_counts: tokens of real texts.

    Returns:
        all of `lengths` and multiples of 8 below the last, at most 8 in total, ascending.

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
    """Tokens and padding of all texts, each padded to the smallest length that fits."""
    ascending = np.sort(lengths)
    return int(ascending[np.searchsorted(ascending, counts)].sum())
