"""Batches as tensors: how they are distributed to replicas, batches for classification, arrays for evaluation."""

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
MakeBatch = Callable[[tf.Tensor, tf.Tensor, int], Batch]  # (step, replica, replicas) -> that replica's share


class Plan(Protocol):
    """The global order of one epoch, of any source."""

    @property
    def steps(self) -> int:
        """Batches of the epoch."""

    @property
    def examples(self) -> int:
        """Examples of the epoch: texts, pairs, or windows of a text stream."""


class BatchSource(Protocol):
    """Training batches for any epoch, from any step, for any number of replicas.

    Attributes:
        batch_size: rows of every batch, over all replicas; None: it varies, and suits any number of replicas.
        many_shapes: batches have so many shapes that the training step should be traced once, with dynamic shapes.
    """

    batch_size: int | None
    many_shapes: bool

    def plan(self, epoch: int) -> Plan:
        """The order of an epoch, the same on every machine. All epochs have the same number of steps."""

    def distributed(self, plan: Plan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """Iterates over the batches; every replica gets its share of the same global batch.

        Args:
            plan: of the epoch.
            strategy: whose replicas and workers share the batches.
            start: first step, to resume within an epoch.

        Yields:
            what `strategy.run` takes: `features` (int32 `[rows, length]` each), `targets`, `weights` (float32 `[rows]`,
            0 for rows that only fill the batch) and `total_weight`, the sum of the weights of the global batch. Further
            `rows` `[rows]`, the example of each row, or for text generation `positions` `[rows, length]`, the place of
            each target among those of all examples one after another, -1 for padding.
        """


@dataclass(frozen=True)
class Examples:
    """Training examples of a classifier.

    Attributes:
        features: `token_ids` and other inputs of the model, each a list of int32 arrays `[tokens]`, one an example.
        targets: int32 `[examples]`, or float32 `[examples, classes]`.
        weights: float32 `[examples]`, of the losses; None: all 1.
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
    """Rows of different lengths in one flat tensor, so that TensorFlow gathers and pads batches without Python.

    Args:
        rows: int32 arrays `[tokens]`.
        fill: the padding value.
    """

    def __init__(self, rows: Sequence[np.ndarray], fill: int) -> None:
        self._starts = tf.constant(np.concatenate([[0], np.cumsum(counts_of(rows))]).astype(np.int64))
        self._flat = tf.constant(np.concatenate([np.asarray(row, np.int32) for row in rows]))
        self._fill = fill

    def padded(self, rows: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Gathers rows by their indices `[rows]`, padded or truncated: int32 `[rows, length]`."""
        return self.at(self.positions(rows, length))

    def at(self, positions: tf.Tensor) -> tf.Tensor:
        """The tokens at places that `positions` returned: int32 of the same shape."""
        return tf.where(positions < 0, self._fill, tf.gather(self._flat, tf.maximum(positions, 0)))

    def positions(self, rows: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """The places of the same tokens in the flat tensor; see `positions_of`."""
        return positions_of(self._starts, rows, length)


def positions_of(starts: tf.Tensor, rows: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The places of the tokens of some rows among those of all rows, one after another.

    Args:
        starts: place of the first token of each row, int64, and the number of all tokens.
        rows: indices `[rows]`.
        length: tokens of a row, more than it has or fewer.

    Returns:
        int64 `[rows, length]`, -1 for padding.

    Example: `positions_of([0, 2, 3], [1, 0], 2)` is `[[2, -1], [0, 1]]`.
    """
    begins, ends = tf.gather(starts, rows), tf.gather(starts, rows + 1)
    positions = tf.expand_dims(begins, 1) + tf.expand_dims(tf.range(tf.cast(length, tf.int64)), 0)
    return tf.where(positions < tf.expand_dims(ends, 1), positions, tf.constant(FILL, tf.int64))


class BucketBatches:
    """Batches of texts of similar length, padded to the length of their bucket, for classification.

    Args:
        examples: with their targets.
        lengths: the buckets in tokens, ascending.
        pad_id: pads `token_ids`; other features are padded with 0.
        batch_size: examples a step, over all replicas and workers.
        seed: determines the order.
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
        """Returns a function that makes the batches of a plan as tensors."""
        present = plan.indices != FILL
        # A batch is filled with repeated rows of weight 0: a row of padding alone could give NaN, and 0 * NaN is NaN.
        filled = np.where(present, plan.indices, plan.indices.max(axis=1, keepdims=True))
        weights = np.where(present, self._weights[filled], 0).astype(np.float32)
        totals = tf.constant(weights.sum(axis=1, dtype=np.float64).astype(np.float32))
        rows, weights, lengths = tf.constant(filled), tf.constant(weights), tf.constant(plan.lengths)

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            chosen = tf.reshape(rows[step], (replicas, -1))[replica]
            return {
                "features": {name: flat.padded(chosen, lengths[step]) for name, flat in self._rows.items()},
                "targets": tf.gather(self._targets, chosen),
                "rows": chosen,
                "weights": tf.reshape(weights[step], (replicas, -1))[replica],
                "total_weight": totals[step],
            }

        return make


def replicated(make: MakeBatch, steps: int, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
    """Distributes batches; each worker makes the shares of its own replicas.

    Args:
        make: makes a replica's share of a batch.
        steps: batches of the epoch.
        strategy: whose replicas and workers share the batches.
        start: first step.

    Returns:
        an iterator over distributed batches, see `BatchSource.distributed`.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = max(1, context.num_replicas_in_sync)
        local = replicas // context.num_input_pipelines
        return dataset(make, steps, start, replicas, context.input_pipeline_id * local, local)

    return iter(strategy.distribute_datasets_from_function(of_worker))


def dataset(make: MakeBatch, steps: int, start: int, replicas: int, first: int, local: int) -> tf.data.Dataset:
    """The shares of the replicas `first` to `first + local - 1` of each step, one after the other.

    Args:
        make: makes a replica's share of a batch.
        steps: batches of the epoch.
        start: first step.
        replicas: of all workers.
        first: replica of this worker.
        local: replicas of this worker.
    """
    batches = tf.data.Dataset.range(start * local, steps * local).map(
        lambda number: make(number // local, first + number % local, replicas), num_parallel_calls=2, deterministic=True
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(8).with_options(options)


def evaluation_batches(
    features: Mapping[str, Sequence[Sequence[int]]], lengths: Sequence[int], pad_id: int, batch_size: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Batches in ascending order of length, for validation; the last one may be smaller.

    Args:
        features: `token_ids` and other inputs of the model, each with the ids of every example.
        lengths: the buckets in tokens, ascending.
        pad_id: pads `token_ids`; other features are padded with 0.
        batch_size: examples a batch.

    Yields:
        the indices of the examples, int `[rows]`, and their features, int32 `[rows, length]` each.
    """
    plan = evaluation_plan([len(row) for row in features[TOKENS]], lengths, batch_size)
    for length, indices in zip(plan.lengths, plan.indices, strict=True):
        chosen = indices[indices != FILL]
        yield chosen, {name: truncated_and_padded([rows[i] for i in chosen], length, pad_id if name == TOKENS else 0)
                       for name, rows in features.items()}  # fmt: skip
