"""Batches of similar numbers of tokens. Decides the order alone: no tensors, no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

MULTIPLE = 8  # of which all padded lengths are multiples: few shapes, and full vector registers


class TokenPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        lengths: for each feature int32 `[steps]`, the length that the rows of each batch are padded to.
        indices: int32 `[examples]`; batch `i` is `indices[offsets[i]:offsets[i + 1]]`.
        offsets: int32 `[steps + 1]`.
        rows: int32 `[steps]`, of each batch, with those that only fill it.
    """

    lengths: dict[str, np.ndarray]
    indices: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return len(self.offsets) - 1

    @property
    def examples(self) -> int:
        """Examples of the epoch."""
        return len(self.indices)

    @property
    def shapes(self) -> np.ndarray:
        """See `Plan`."""
        return np.unique([self.rows, *self.lengths.values()], axis=1, return_inverse=True)[1].ravel()


def token_plan(
    counts: Mapping[str, np.ndarray],
    batch_tokens: int | None,
    batch_size: int,
    seed: int,
    epoch: int,
    max_lengths: Mapping[str, int] | None = None,
) -> TokenPlan:
    """Groups examples of similar length into batches of a maximum number of tokens, and shuffles the batches.

    A batch has as many rows as keep the tokens of its longest feature, padding included, within `batch_tokens`, and at
    least one. Examples of equal padded lengths are shuffled. Every epoch has the same number of steps. Equal arguments
    give an equal plan, on every machine.

    Args:
        counts: for each feature int `[examples]`, the tokens of each example.
        batch_tokens: tokens of a batch at max_lengths; None: a batch has `batch_size` rows.
        batch_size: rows of a batch, without `batch_tokens`.
        seed, epoch: determine the order.
        max_lengths: maximum length of each feature, which padding does not exceed either; None: no limit.

    Returns:
        the batches, in shuffled order.

    Example: counts `{"token_ids": [3, 20, 5, 7]}` and 24 tokens give two batches: 3, 5 and 7 tokens padded to 8, and
        20 padded to 24.
    """
    generator = np.random.default_rng([seed, epoch])
    rounded = {name: rounded_up(numbers) for name, numbers in counts.items()}
    if max_lengths is not None:
        rounded = {name: np.minimum(numbers, max_lengths[name]) for name, numbers in rounded.items()}
    longest = np.maximum.reduce(list(rounded.values()))
    order = generator.permutation(len(longest))
    order = order[np.lexsort((sum(rounded.values())[order], longest[order]))]
    offsets = _cuts(longest[order], batch_tokens, batch_size)
    lengths = {name: np.maximum.reduceat(numbers[order], offsets[:-1]) for name, numbers in rounded.items()}
    return shuffled_batches(order, offsets, lengths, np.diff(offsets), generator)


def shuffled_batches(
    order: np.ndarray,
    offsets: np.ndarray,
    lengths: Mapping[str, np.ndarray],
    rows: np.ndarray,
    generator: np.random.Generator,
) -> TokenPlan:
    """The plan of some batches in shuffled order.

    Args:
        order: int `[examples]`, the examples of all batches.
        offsets: int `[steps + 1]`, of the batches in it.
        lengths: for each feature int `[steps]`.
        rows: int `[steps]`.
        generator: shuffles them.
    """
    batches = generator.permutation(len(rows))
    return TokenPlan(
        {name: numbers[batches].astype(np.int32) for name, numbers in lengths.items()},
        np.concatenate([order[offsets[i] : offsets[i + 1]] for i in batches]).astype(np.int32),
        np.concatenate([[0], np.cumsum(np.diff(offsets)[batches])]).astype(np.int32),
        rows[batches].astype(np.int32),
    )


def rounded_up(counts: np.ndarray) -> np.ndarray:
    """Lengths rounded up to multiples of 8, at least 8. Example: `rounded_up([0, 8, 9])` is `[8, 8, 16]`."""
    return np.maximum(1, -(-np.asarray(counts) // MULTIPLE)) * MULTIPLE


def _cuts(longest: np.ndarray, batch_tokens: int | None, batch_size: int) -> np.ndarray:
    """The offsets of the batches, int `[steps + 1]`; `longest` is ascending."""
    if batch_tokens is None:
        return np.append(np.arange(0, len(longest), batch_size), len(longest))
    cuts = [0]
    while cuts[-1] < len(longest):
        start = cuts[-1]
        window = longest[start : start + max(1, batch_tokens // longest[start])]
        fitting = np.searchsorted(np.arange(1, len(window) + 1) * window, batch_tokens, side="right")
        cuts.append(start + max(1, int(fitting)))
    return np.array(cuts)
