"""Chooses buckets from the lengths of the training texts: input lengths, and new tokens for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MAX_BUCKETS = 4
MAX_IN_BUCKET = 512  # tokens
COVERED = 0.995  # share of the texts that fit the longest bucket
PROMPT_LENGTHS = (8, 32, 128)  # tokens, if the data have no prompts


def choose_lengths(token_counts: Sequence[int], max_length: int = MAX_IN_BUCKET) -> list[int]:
    """Chooses at most four bucket lengths from the lengths of the training texts.

    The longest covers 99.5 % of them, in multiples of 8 and up to `max_length`; the others are halves, quarters and so
    on of it, if each saves padding for at least one text in twenty.

    Example: `choose_lengths([5] * 50 + [30] * 50)` is `[8, 32]`: no text would use 16.
    """
    counts = np.sort(token_counts)
    top = min(max_length, covering(counts))
    lengths, covered = [], 0
    for length in sorted({_eights(top / 2**power) for power in range(1, 7)}):
        within = int(np.searchsorted(counts, length, side="right"))
        if length < top and within - covered >= len(counts) / 20:
            lengths.append(length)
            covered = within
    return [*lengths[: MAX_BUCKETS - 1], top]


def covering(counts: Sequence[int]) -> int:
    """The smallest multiple of 8, at least 8, that 99.5 % of the counts do not exceed."""
    ordered = np.sort(counts)
    return _eights(ordered[min(len(ordered) - 1, math.ceil(COVERED * len(ordered)))])


def translation_lengths(
    source_counts: Sequence[int], target_counts: Sequence[int], lengths: Sequence[int], max_length: int = MAX_IN_BUCKET
) -> list[tuple[int, int]]:
    """The maximum number of new tokens of a translation, for each bucket of the source.

    It covers 99.5 % of the targets of the sources in that bucket, in multiples of 8, and does not decrease. A bucket
    without sources gets the value of the one before.

    Args:
        source_counts: tokens of each training source, with the end id.
        target_counts: tokens of each target, in the same order, with the end id.
        lengths: the buckets of the source, ascending.
        max_length: maximum for all buckets.

    Example: `translation_lengths([5, 5, 20], [9, 7, 30], [8, 32])` is `[(8, 16), (32, 32)]`.
    """
    sources, targets = np.asarray(source_counts), np.asarray(target_counts)
    pairs, new, shorter = [], 8, -1
    for length in lengths:
        last = length == lengths[-1]
        inside = targets[(sources > shorter) & ((sources <= length) | last)]
        new = min(max_length, max(new, covering(inside))) if len(inside) else new
        pairs.append((length, new))
        shorter = length
    return pairs


def generation_lengths(context: int, prompt_counts: Sequence[int], room: int | None) -> list[tuple[int, int]]:
    """The maximum number of new tokens, for a few lengths of the prompt.

    Args:
        context: tokens of prompt and output together.
        prompt_counts: tokens of each prompt of the training data; empty if they have none.
        room: maximum number of new tokens; None: the rest of the context.

    Example: `generation_lengths(256, [], None)` is `[(8, 248), (32, 224), (128, 128)]`.
    """
    longest = max(1, context // 2)
    prompts = choose_lengths(prompt_counts, longest) if prompt_counts else [n for n in PROMPT_LENGTHS if n <= longest]
    left = [(length, context - length) for length in prompts or [longest]]
    return [(length, new if room is None else min(room, new)) for length, new in left]


def _eights(tokens: float) -> int:
    return max(8, 8 * math.ceil(tokens / 8))
