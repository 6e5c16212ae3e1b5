"""Buckets chosen from the lengths of the training texts: what is read, and how much may be written after it."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_BUCKETS = 4
MAX_IN_BUCKET = 512  # tokens
COVERED = 0.995  # of the texts
PROMPT_LENGTHS = (8, 32, 128)  # tokens, where the data have no prompts to measure


def choose_lengths(token_counts: Sequence[int], max_length: int = MAX_IN_BUCKET) -> list[int]:
    """Chooses at most four bucket lengths from the lengths of the training texts.

    The longest covers 99.5 % of them, in multiples of 8 and up to `max_length`; the others halve it, where they would
    spare padding for at least one text in twenty.

    Example: `choose_lengths([5] * 50 + [30] * 50)` is `[8, 32]`: 16 would serve nobody.
    """
    counts = sorted(token_counts)
    top = min(max_length, covering(counts))
    lengths, covered = [], 0
    for length in sorted({_eights(top / 2**power) for power in range(1, 7)}):
        within = sum(1 for count in counts if count <= length)
        if length < top and within - covered >= len(counts) / 20:
            lengths.append(length)
            covered = within
    return [*lengths[: MAX_BUCKETS - 1], top]


def covering(counts: Sequence[int]) -> int:
    """The least multiple of 8, at least 8, that 99.5 % of the counts keep to."""
    ordered = sorted(counts)
    return _eights(ordered[min(len(ordered) - 1, math.ceil(COVERED * len(ordered)))])


def translation_lengths(
    source_counts: Sequence[int], target_counts: Sequence[int], lengths: Sequence[int], max_length: int = MAX_IN_BUCKET
) -> list[tuple[int, int]]:
    """How many tokens a translation may have, for each bucket of the source.

    Room for 99.5 % of the targets of the sources in that bucket, in multiples of 8, never less than a shorter source
    gets. A bucket without a source gets what the one before has.

    Args:
        source_counts: length of each training source, in tokens with the end.
        target_counts: length of each target, in the same order, with the end.
        lengths: the buckets of the source, ascending.
        max_length: tokens that any translation may have.

    Example: `translation_lengths([5, 5, 20], [9, 7, 30], [8, 32])` is `[(8, 16), (32, 32)]`.
    """
    pairs, new, least = [], 8, -1
    for length in lengths:
        last = length == lengths[-1]
        inside = [
            target
            for source, target in zip(source_counts, target_counts, strict=True)
            if source > least and (source <= length or last)
        ]
        new = min(max_length, max(new, covering(inside))) if inside else new
        pairs.append((length, new))
        least = length
    return pairs


def generation_lengths(context: int, prompt_counts: Sequence[int], room: int | None) -> list[tuple[int, int]]:
    """How many tokens may follow a prompt, for a few lengths of it.

    Args:
        context: tokens of prompt and answer together.
        prompt_counts: length of each prompt of the training data; empty where they have none.
        room: new tokens wanted; None: all that the context leaves.

    Example: `generation_lengths(256, [], None)` is `[(8, 248), (32, 224), (128, 128)]`.
    """
    longest = max(1, context // 2)
    prompts = choose_lengths(prompt_counts, longest) if prompt_counts else [n for n in PROMPT_LENGTHS if n <= longest]
    left = [(length, context - length) for length in prompts or [longest]]
    return [(length, new if room is None else min(room, new)) for length, new in left]


def _eights(tokens: float) -> int:
    return max(8, 8 * math.ceil(tokens / 8))
