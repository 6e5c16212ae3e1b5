"""Batches by tokens of a few fixed shapes, for a TPU. Decides the order alone: no tensors, no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from textapp.batches.tokens import TokenPlan, shuffled_batches

MAX_BUCKETS = 12  # each shape is compiled on its own
BATCHES_OF_A_BUCKET = 4  # on average at least, as its last batch is not full
MAX_LEVELS = 512  # lengths that a bucket may end at; the search takes their square
ROWS_MULTIPLE = 8  # of all numbers of rows: a register of a TPU holds 8 of them, whatever the length


class TokenBuckets(NamedTuple):
    """The buckets of a data set; all batches of one have the same shape.

    Attributes:
        lengths: for each feature int32 `[buckets]`, the length that its rows are padded to.
        rows: int32 `[buckets]`, of each batch, with those that only fill it.
        members: int32 `[examples]`, the bucket of each example.
        useful: share of the tokens of an epoch that are neither padding nor in rows that fill, 0 to 1.
    """

    lengths: dict[str, np.ndarray]
    rows: np.ndarray
    members: np.ndarray
    useful: float


def token_buckets(
    counts: Mapping[str, np.ndarray],
    batch_tokens: int | None,
    batch_size: int,
    max_lengths: Mapping[str, int] | None = None,
) -> TokenBuckets:
    """Chooses buckets by the lengths of the examples.

    An example is in a bucket by the length of its longest feature, and each feature has its own length there, that of
    the longest example. Among all ways to cut the lengths, this one has the fewest tokens with padding. Rows are as
    many as `batch_tokens` hold at the longest feature, or fewer where then fewer rows fill the last batch.

    Args:
        counts: for each feature int `[examples]`, the tokens of each example.
        batch_tokens: tokens of a batch at most, of its longest feature; None: a batch has at most `batch_size` rows.
        batch_size: rows of a batch, without `batch_tokens`.
        max_lengths: maximum length of each feature, to which longer examples are truncated; None: no limit.

    Example: counts `{"token_ids": [3, 3, 20, 20]}` in two buckets have the lengths 3 and 20, and no padding.
    """
    lengths = np.stack([np.maximum(1, np.asarray(numbers)) for numbers in counts.values()])  # [features, examples]
    if max_lengths is not None:
        lengths = np.minimum(lengths, [[max_lengths[name]] for name in counts])
    longest = lengths.max(axis=0)
    batches = len(longest) // batch_size if batch_tokens is None else int(longest.sum()) // batch_tokens
    step = -(-int(longest.max()) // MAX_LEVELS)
    levels, sizes = np.unique(-(-longest // step), return_counts=True)
    order = np.argsort(longest, kind="stable")
    tops = np.maximum.reduceat(lengths[:, order], np.cumsum(sizes) - sizes, axis=1)  # [features, levels]
    firsts = _cheapest_runs(sizes, tops, min(MAX_BUCKETS, max(1, batches // BATCHES_OF_A_BUCKET)))
    members = np.searchsorted(levels[firsts], -(-longest // step), side="right") - 1
    padded = np.maximum.reduceat(tops, firsts, axis=1)  # [features, buckets]
    examples = np.add.reduceat(sizes, firsts)
    limits = [batch_size if batch_tokens is None else max(1, batch_tokens // int(top)) for top in padded.max(axis=0)]
    rows = np.array([_rows(int(number), limit) for number, limit in zip(examples, limits, strict=True)], np.int32)
    used = (-(-examples // rows) * rows * padded.sum(axis=0)).sum()
    return TokenBuckets(
        dict(zip(counts, padded.astype(np.int32), strict=True)),
        rows,
        members.astype(np.int32),
        float(lengths.sum() / used),
    )


def _cheapest_runs(sizes: np.ndarray, tops: np.ndarray, most: int) -> np.ndarray:
    """Cuts ascending lengths into runs of the fewest tokens, padding included, by dynamic programming.

    Args:
        sizes: int `[levels]`, the examples of each length.
        tops: int `[features, levels]`, the longest of each feature among them.
        most: runs at most.

    Returns:
        the first level of each run, int `[runs]`.
    """
    levels, before = len(sizes), np.concatenate([[0], np.cumsum(sizes)])
    costs = np.full((levels, levels), np.inf)  # of a run from the first level to the second
    for first in range(levels):
        padded = np.maximum.accumulate(tops[:, first:], axis=1).sum(axis=0)
        costs[first, first:] = (before[first + 1 :] - before[first]) * padded
    least, choices = costs[0], []
    for _ in range(min(most, levels) - 1):
        totals = least[:-1, None] + costs[1:]  # of runs of which the last begins after the first index
        choices.append(totals.argmin(axis=0) + 1)
        least = totals.min(axis=0)
    firsts = [levels]
    for choice in reversed(choices):
        firsts.append(int(choice[firsts[-1] - 1]))
    return np.array([0, *reversed(firsts[1:])])


def _rows(examples: int, most: int) -> int:
    """The rows of the batches of a bucket: at most `most`, and about so many, with few that fill the last batch.

    Example: 140 examples in at most 136 rows are two batches of 72 rows, not of 136.
    """
    multiple = min(ROWS_MULTIPLE, 1 << (most.bit_length() - 1))
    fewest = -(-examples // (most // multiple * multiple))
    choices = [-(-examples // (batches * multiple)) * multiple for batches in range(fewest, fewest + fewest // 8 + 1)]
    return min(choices, key=lambda rows: -(-examples // rows) * rows)


def bucketed_plan(buckets: TokenBuckets, seed: int, epoch: int) -> TokenPlan:
    """Shuffles the examples of each bucket, and the batches of all.

    Every epoch has the same number of steps. Equal arguments give an equal plan, on every machine.

    Args:
        buckets: of the data set.
        seed, epoch: determine the order.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(buckets.members))
    order = order[np.argsort(buckets.members[order], kind="stable")]
    ends = np.cumsum(np.bincount(buckets.members, minlength=len(buckets.rows)))
    cuts = [np.arange(start, end, rows) for start, end, rows in zip([0, *ends], ends, buckets.rows, strict=False)]
    numbers = np.repeat(np.arange(len(cuts)), [len(each) for each in cuts])
    lengths = {name: each[numbers] for name, each in buckets.lengths.items()}
    offsets = np.concatenate([*cuts, [len(order)]])
    return shuffled_batches(order, offsets, lengths, buckets.rows[numbers], generator)
