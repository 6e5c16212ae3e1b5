"""Batches of examples of similar length, by buckets. Decides the order alone: no tensors, no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FILL = -1


class BatchPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        lengths: int32 `[steps]`, the length that the rows of each batch are padded or truncated to.
        indices: int32 `[steps, batch_size]`, the examples of each batch; `FILL` where a batch is not full.
    """

    lengths: np.ndarray
    indices: np.ndarray

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return len(self.lengths)

    @property
    def examples(self) -> int:
        """Examples of the epoch."""
        return int((self.indices != FILL).sum())

    @property
    def shapes(self) -> np.ndarray:
        """See `Plan`."""
        return self.lengths


def training_plan(counts: Sequence[int], lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> BatchPlan:
    """Shuffles the examples and groups those of similar length.

    Each text is in the smallest bucket that holds it, or in the last if it is longer than all. Texts that do not fill
    a batch move to the next longer bucket, so an epoch has `ceil(examples / batch_size)` steps, and only one batch
    may not be full. Equal arguments give an equal plan, on every machine.

    Args:
        counts: tokens of each example.
        lengths: the buckets, ascending.
        batch_size: examples a step, over all replicas and workers.
        seed, epoch: determine the order.

    Returns:
        the batches, in shuffled order.

    Example: counts `[2, 3, 9, 4]`, lengths `[4, 16]` and batch size 2 give two steps: two of the three short texts at
        length 4, and the remaining short text with the long one at length 16.
    """
    generator = np.random.default_rng([seed, epoch])
    plan = _gather(generator.permutation(len(counts)), counts, lengths, batch_size)
    order = generator.permutation(plan.steps)
    return BatchPlan(plan.lengths[order], plan.indices[order])


def evaluation_plan(counts: Sequence[int], lengths: Sequence[int], batch_size: int) -> BatchPlan:
    """Sorts the examples by length, which needs the least padding.

    Args:
        counts: tokens of each example.
        lengths: the buckets, ascending.
        batch_size: examples a batch.

    Returns:
        the batches, in ascending order of length; examples of equal length keep their order.
    """
    return _gather(np.argsort(np.asarray(counts), kind="stable"), counts, lengths, batch_size)


def told_by_bucket(labels: np.ndarray, buckets: np.ndarray) -> float:
    """The share of what is to be known of the labels that the buckets tell, 0 to 1.

    It is their mutual information, less what few examples show by chance (Miller, 1955), by the entropy of the labels.

    Args:
        labels: int `[examples]`.
        buckets: of the examples, int `[examples]`.

    Example: labels `[0, 0, 1, 1]` in buckets `[5, 5, 7, 7]`, many times over, are told whole: 1.
    """
    table = np.zeros((buckets.max() + 1, labels.max() + 1))
    np.add.at(table, (buckets, labels), 1)
    total, of_buckets, of_labels = table.sum(), table.sum(axis=1), table.sum(axis=0)
    chance = (np.count_nonzero(of_buckets) - 1) * (np.count_nonzero(of_labels) - 1) / (2 * total)
    known = _entropy(of_labels) + _entropy(of_buckets) - _entropy(table)
    return max(0.0, known - chance) / max(_entropy(of_labels), 1e-9)


def _entropy(counts: np.ndarray) -> float:
    """In nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _gather(order: np.ndarray, counts: Sequence[int], lengths: Sequence[int], batch_size: int) -> BatchPlan:
    buckets = np.searchsorted(lengths, np.asarray(counts))[order]
    chosen, rows, remaining = [], [], order[:0]
    for bucket, length in enumerate(lengths):
        last = bucket == len(lengths) - 1
        members = np.concatenate([remaining, order[buckets >= bucket if last else buckets == bucket]])
        full = len(members) if last else len(members) // batch_size * batch_size
        members, remaining = members[:full], members[full:]
        members = np.concatenate([members, np.full(-len(members) % batch_size, FILL)])
        rows.append(members.reshape(-1, batch_size))
        chosen += [length] * len(rows[-1])
    return BatchPlan(np.array(chosen, np.int32), np.concatenate(rows).astype(np.int32))
