"""Batches of windows of a text stream. Decides the order alone: no tensors, no TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textapp.batches.buckets import FILL


class StreamPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        starts: int32 `[steps, rows]`, the first token of each window; `FILL` where a batch is not full.
    """

    starts: np.ndarray

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return len(self.starts)

    @property
    def examples(self) -> int:
        """Windows of the epoch."""
        return int((self.starts != FILL).sum())

    @property
    def shapes(self) -> np.ndarray:
        """See `Plan`."""
        return np.zeros(self.steps, np.int32)


def stream_plan(num_tokens: int, length: int, batch_size: int, seed: int, epoch: int) -> StreamPlan:
    """Cuts a text stream into adjacent windows, with another offset each epoch, and shuffles them.

    Every epoch has the same number of windows; for this some tokens at both ends of the stream may be left out.

    Args:
        num_tokens: of the whole stream, more than `length`: the last window also needs the next token, as a target.
        length: tokens of a window.
        batch_size: windows a step.
        seed, epoch: determine offset and order.

    Returns:
        the windows of each step.

    Example: 100 tokens, windows of 8, batch size 4: 11 windows in 3 steps; the offset is 0 to 7.
    """
    generator = np.random.default_rng([seed, epoch])
    whole = (num_tokens - 1) // length
    windows = max(1, whole - 1)
    shift = int(generator.integers(min(length, num_tokens - windows * length)))
    starts = shift + length * generator.permutation(windows)
    starts = np.concatenate([starts, np.full(-windows % batch_size, FILL)])
    return StreamPlan(starts.reshape(-1, batch_size).astype(np.int32))
