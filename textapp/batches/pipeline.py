"""Batches as tensors: how a batch source reaches the replicas, classification by buckets, arrays for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from textapp.arrays import truncated_and_padded
from textapp.batches.buckets import FILL, BatchPlan, evaluation_plan, training_plan

TOKENS = "token_ids"
Batch = dict[str, Any]
MakeBatch = Callable[[tf.Tensor, tf.Tensor, int], Batch]  # (step, replica, replicas) -> the rows of that replica


class Plan(Protocol):
    """The global order of one epoch, whatever the source."""

    @property
    def steps(self) -> int:
        """Batches of the epoch."""

    @property
    def examples(self) -> int:
        """Examples of the epoch: texts, pairs, or windows of running text."""


class BatchSource(Protocol):
    """Training batches for any epoch, from any step, for any number of replicas.

    Attributes:
        batch_size: rows of every batch, over all replicas; None: they vary, and fit any number of replicas.
        many_shapes: batches come in so many shapes that the training step is traced once, with open shapes.
    """

    batch_size: int | None
    many_shapes: bool

    def plan(self, epoch: int) -> Plan:
        """The order of an epoch, the same on every machine. All epochs have the same number of steps."""

    def distributed(self, plan: Plan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """Iterates over the batches from step `start` on; every replica gets its rows of the same global batch.

        Yields:
            what `strategy.run` takes: `features` (int32 `[rows, length]` each), `targets`, `weights` (float32 `[rows]`,
            0 for rows that only fill) and `total_weight`, the sum of the weights of the whole global batch.
        """


@dataclass(frozen=True)
class Examples:
    """What a classifier learns from.

    Attributes:
        features: `token_ids` and what else the model takes, each a list of int32 arrays `[tokens]`, one an example.
        targets: int32 `[examples]`, or float32 `[examples, classes]`.
        weights: float32 `[examples]`, how much each counts; None: all 1.
    """

    features: Mapping[str, Sequence[np.ndarray]]
    targets: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def counts(self) -> np.ndarray:
        """Tokens of each example."""
        return counts_of(self.features[TOKENS])

    def row_weights(self) -> np.ndarray:
        """The weight of each example, float32 `[examples]`."""
        return np.ones(len(self), np.float32) if self.weights is None else np.asarray(self.weights, np.float32)


def counts_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The length of each row, int64 `[rows]`."""
    return np.fromiter(map(len, rows), np.int64, len(rows))


class FlatRows:
    """Rows of different lengths in one flat tensor, gathered by TensorFlow's own threads, without Python.

    Args:
        rows: int32 arrays `[tokens]`.
        fill: what pads them.
    """

    def __init__(self, rows: Sequence[np.ndarray], fill: int) -> None:
        self._starts = tf.constant(np.concatenate([[0], np.cumsum(counts_of(rows))]).astype(np.int64))
        self._flat = tf.constant(np.concatenate([np.asarray(row, np.int32) for row in rows]))
        self._fill = fill

    def padded(self, rows: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """The rows of these numbers, padded or cut: int32 `[rows, length]`."""
        starts = tf.gather(self._starts, rows)
        ends = tf.gather(self._starts, rows + 1)
        places = tf.expand_dims(starts, 1) + tf.expand_dims(tf.range(tf.cast(length, tf.int64)), 0)
        inside = places < tf.expand_dims(ends, 1)
        places = tf.where(inside, places, tf.constant(0, tf.int64))
        return tf.where(inside, tf.gather(self._flat, places), self._fill)


class BucketBatches:
    """Texts of like length at the length of their bucket, the same number in each batch: for classification.

    Args:
        examples: what to learn from.
        lengths: the buckets in tokens, ascending.
        pad_id: what fills `token_ids`; other features are filled with 0.
        batch_size: examples a step, over all replicas and workers.
        seed: decides the order.
    """

    many_shapes = False

    def __init__(self, examples: Examples, lengths: Sequence[int], pad_id: int, batch_size: int, seed: int) -> None:
        self._rows = {name: FlatRows(rows, pad_id if name == TOKENS else 0) for name, rows in examples.features.items()}
        self._targets = tf.constant(examples.targets)
        self._weights = examples.row_weights()
        self._counts, self._lengths, self.batch_size, self._seed = examples.counts, lengths, batch_size, seed

    def plan(self, epoch: int) -> BatchPlan:
        """See `training_plan`."""
        return training_plan(self._counts, self._lengths, self.batch_size, self._seed, epoch)

    def distributed(self, plan: BatchPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: BatchPlan) -> MakeBatch:
        """The batches of a plan as tensors."""
        present = plan.indices != FILL
        # A row that fills repeats a real one: a row of padding alone could make a NaN, and 0 * NaN is NaN.
        filled = np.where(present, plan.indices, plan.indices.max(axis=1, keepdims=True))
        weights = np.where(present, self._weights[filled], 0).astype(np.float32)
        totals = tf.constant(weights.sum(axis=1, dtype=np.float64).astype(np.float32))
        rows, weights, lengths = tf.constant(filled), tf.constant(weights), tf.constant(plan.lengths)

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            chosen = tf.reshape(rows[step], (replicas, -1))[replica]
            return {
                "features": {name: flat.padded(chosen, lengths[step]) for name, flat in self._rows.items()},
                "targets": tf.gather(self._targets, chosen),
                "weights": tf.reshape(weights[step], (replicas, -1))[replica],
                "total_weight": totals[step],
            }

        return make


def replicated(make: MakeBatch, steps: int, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
    """Iterates over batches from step `start` on; each worker makes the rows of its own replicas."""

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = max(1, context.num_replicas_in_sync)
        local = replicas // context.num_input_pipelines
        return dataset(make, steps, start, replicas, context.input_pipeline_id * local, local)

    return iter(strategy.distribute_datasets_from_function(of_worker))


def dataset(make: MakeBatch, steps: int, start: int, replicas: int, first: int, local: int) -> tf.data.Dataset:
    """Batches of the replicas `first` to `first + local`, one after the other, step by step."""
    batches = tf.data.Dataset.range(start * local, steps * local).map(
        lambda number: make(number // local, first + number % local, replicas), num_parallel_calls=2, deterministic=True
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(8).with_options(options)


def evaluation_batches(
    features: Mapping[str, Sequence[Sequence[int]]], lengths: Sequence[int], pad_id: int, batch_size: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Batches in order of length, for validation; the last of each bucket is as short as it is.

    Yields:
        the numbers of the examples, int `[rows]`, and their features, int32 `[rows, length]` each.
    """
    plan = evaluation_plan([len(row) for row in features[TOKENS]], lengths, batch_size)
    for length, indices in zip(plan.lengths, plan.indices, strict=True):
        chosen = indices[indices != FILL]
        yield chosen, {name: truncated_and_padded([rows[i] for i in chosen], length, pad_id if name == TOKENS else 0)
                       for name, rows in features.items()}  # fmt: skip
