"""Windows of running text. Owns which windows stand together: no tensors, no TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textapp.batches.buckets import FILL


class StreamPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        starts: int32 `[steps, rows]`, the first token of each window; `FILL` where there was none left.
    """

    starts: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.starts)

    @property
    def examples(self) -> int:
        return int((self.starts != FILL).sum())


def stream_plan(num_tokens: int, length: int, batch_size: int, seed: int, epoch: int) -> StreamPlan:
    """Cuts a text into windows, one beside the other, from another place each epoch, in a shuffled order.

    Every epoch has the same number of windows; so few tokens at both ends of the text may be left out.

    Args:
        num_tokens: of the whole text, more than `length`: each window also needs the token after it, as a target.
        length: tokens of a window.
        batch_size: windows a step.

    Example: 100 tokens, windows of 8, 4 a step: 11 windows in 3 steps, the first of them at 0 to 7.
    """
    generator = np.random.default_rng([seed, epoch])
    whole = (num_tokens - 1) // length
    windows = max(1, whole - 1)
    shift = int(generator.integers(min(length, num_tokens - windows * length)))
    starts = shift + length * generator.permutation(windows)
    starts = np.concatenate([starts, np.full(-windows % batch_size, FILL)])
    return StreamPlan(starts.reshape(-1, batch_size).astype(np.int32))
