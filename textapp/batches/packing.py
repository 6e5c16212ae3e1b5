"""Packing of short documents into rows of one length, for language models. No tensors, no TensorFlow."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textapp.batches.buckets import FILL


class PackedPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        positions: int32 `[steps, rows, length]`, of each token in the concatenation of all documents; `FILL` is
            padding. Rows that only fill up the last batch are all padding.
        segments: int32, the same shape: the documents of a row, numbered from 1; 0 for padding.
        examples: the number of documents.
    """

    positions: np.ndarray
    segments: np.ndarray
    examples: int

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return len(self.positions)

    @property
    def shapes(self) -> np.ndarray:
        """See `Plan`."""
        return np.zeros(self.steps, np.int32)


def packed_plan(counts: Sequence[int], length: int, batch_size: int, seed: int, epoch: int) -> PackedPlan:
    """Packs documents into rows: each starts with the longest remaining document and takes the longest that still fits.

    Documents of equal length are shuffled, and so are the rows. Every epoch has the same number of steps. Equal
    arguments give an equal plan (best-fit decreasing; Krell et al., 2021, "Efficient Sequence Packing").

    Args:
        counts: tokens of each document, at most `length`; documents are concatenated in this order.
        length: tokens of a row.
        batch_size: rows a step.
        seed, epoch: determine the order.

    Returns:
        the rows of each step.

    Example: documents of 5, 3 and 2 tokens in rows of 8: one row holds `5 + 3`, another 2.
    """
    counts = np.asarray(counts, np.int64)
    generator = np.random.default_rng([seed, epoch])
    rows = packed_rows(counts, length, generator)
    starts = np.concatenate([[0], np.cumsum(counts)])
    steps = -(-len(rows) // batch_size)
    positions = np.full((steps * batch_size, length), FILL, np.int32)
    segments = np.zeros_like(positions)
    for number, row in zip(generator.permutation(len(rows)), rows, strict=True):
        used = 0
        for segment, document in enumerate(row, start=1):
            end = used + counts[document]
            positions[number, used:end] = np.arange(starts[document], starts[document + 1])
            segments[number, used:end] = segment
            used = end
    shape = (steps, batch_size, length)
    return PackedPlan(positions.reshape(shape), segments.reshape(shape), len(counts))


def packed_rows(counts: np.ndarray, length: int, generator: np.random.Generator) -> list[list[int]]:
    """The documents of each row; see `packed_plan`.

    Args:
        counts: int `[documents]`, tokens of each, at most `length`.
        length: tokens of a row.
        generator: shuffles documents of equal length.
    """
    waiting: dict[int, list[int]] = {}
    for document in generator.permutation(len(counts)).tolist():
        waiting.setdefault(int(counts[document]), []).append(document)
    lengths = sorted(waiting)
    rows = []
    while lengths:
        row, room = [], length
        while (fitting := bisect_right(lengths, room)) > 0:
            taken = lengths[fitting - 1]
            row.append(waiting[taken].pop())
            room -= taken
            if not waiting[taken]:
                lengths.pop(fitting - 1)
        rows.append(row)
    return rows
