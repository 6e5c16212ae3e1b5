"""Which examples stand together in which batch. Owns the order alone: no tensors, no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FILL = -1


class BatchPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        lengths: int32 `[steps]`, the tokens that every row of the batch is padded or cut to.
        indices: int32 `[steps, batch_size]`, the examples of each batch; `FILL` stands where there was none left.
    """

    lengths: np.ndarray
    indices: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.lengths)

    @property
    def examples(self) -> int:
        return int((self.indices != FILL).sum())


def training_plan(counts: Sequence[int], lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> BatchPlan:
    """Shuffles the examples, then gathers texts of like length.

    A text goes to the smallest bucket that holds it, a longer one than all to the last. What does not fill a batch
    goes on to the next longer bucket, so an epoch has `ceil(examples / batch_size)` steps and at most one batch
    that is not full. Equal arguments give an equal plan, on every machine.

    Args:
        counts: tokens of each example.
        lengths: the buckets, ascending.
        batch_size: examples a step, over all replicas and workers.

    Example: counts `[2, 3, 9, 4]`, lengths `[4, 16]`, batch size 2 give two steps: two texts of the first three short
        ones at length 4, and the short one that is left with the long one at length 16.
    """
    generator = np.random.default_rng([seed, epoch])
    plan = _gather(generator.permutation(len(counts)), counts, lengths, batch_size)
    order = generator.permutation(plan.steps)
    return BatchPlan(plan.lengths[order], plan.indices[order])


def evaluation_plan(counts: Sequence[int], lengths: Sequence[int], batch_size: int) -> BatchPlan:
    """The examples sorted by length, equal lengths in their order: the least padding."""
    return _gather(np.argsort(np.asarray(counts), kind="stable"), counts, lengths, batch_size)


def _gather(order: np.ndarray, counts: Sequence[int], lengths: Sequence[int], batch_size: int) -> BatchPlan:
    buckets = np.searchsorted(lengths, np.asarray(counts))[order]
    chosen, rows, left = [], [], order[:0]
    for bucket, length in enumerate(lengths):
        last = bucket == len(lengths) - 1
        members = np.concatenate([left, order[buckets >= bucket if last else buckets == bucket]])
        full = len(members) if last else len(members) // batch_size * batch_size
        members, left = members[:full], members[full:]
        members = np.concatenate([members, np.full(-len(members) % batch_size, FILL)])
        rows.append(members.reshape(-1, batch_size))
        chosen += [length] * len(rows[-1])
    return BatchPlan(np.array(chosen, np.int32), np.concatenate(rows).astype(np.int32))
