"""Batches as tensors: how they are distributed to replicas, batches for classification, arrays for evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from textapp.arrays import truncated_and_padded
from textapp.batches.buckets import FILL, BatchPlan, evaluation_plan, told_by_bucket, training_plan
from textapp.batches.tables import Targets, make_table
from textapp.batches.token_buckets import bucket_lengths
from textapp.records.cache import lengths_of
from textapp.records.shards import ManyLabels

logger = logging.getLogger(__name__)

TOKENS = "token_ids"
MOST_TOLD = 0.2  # of the labels, by the lengths of the texts
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

    @property
    def shapes(self) -> np.ndarray:
        """Int `[steps]`, equal numbers for batches of the same shape."""


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

    def maker(self, plan: Plan) -> MakeBatch:
        """Returns a function that makes the batches of a plan as tensors."""

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
        targets: int32 `[examples]`, or float32 `[examples, classes]`, or several labels of each on disk.
        weights: float32 `[examples]`, of the losses; None: all 1.
    """

    features: Mapping[str, Sequence[np.ndarray]]
    targets: np.ndarray | ManyLabels
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def counts(self) -> np.ndarray:
        """Tokens of each example."""
        return lengths_of(self.features[TOKENS])

    def row_weights(self) -> np.ndarray:
        """The weight of each example, float32 `[examples]`."""
        return np.ones(len(self), np.float32) if self.weights is None else np.asarray(self.weights, np.float32)


class BucketBatches:
    """Batches of texts of similar length, for classification.

    Where the length of a text tells much of its label, as of titles and bodies, batches of one length would be batches
    of one label, from which a model learns worse: then they have texts of all lengths.

    Args:
        examples: with their targets.
        max_length: of a row in tokens; longer ones are truncated.
        pad_id: pads `token_ids`; other features are padded with 0.
        batch_size: examples a step, over all replicas and workers.
        seed: determines the order.
        static_shapes: few of them, for a compiler that makes a program for each.
    """

    def __init__(
        self, examples: Examples, max_length: int, pad_id: int, batch_size: int, seed: int, static_shapes: bool = False
    ) -> None:
        self._table = make_table(
            examples.features, {name: pad_id if name == TOKENS else 0 for name in examples.features}
        )
        self._names, self._targets = list(examples.features), Targets(examples.targets)
        self._weights = examples.row_weights()
        self._counts = np.minimum(examples.counts, max_length)
        self._lengths = bucket_lengths(self._counts, batch_size, static_shapes)
        self._mixed = _told(examples.targets, np.searchsorted(self._lengths, self._counts)) > MOST_TOLD
        if self._mixed:
            self._lengths = self._lengths[-1:]
        self.many_shapes, self.batch_size, self._seed = not static_shapes, batch_size, seed

    def log_shapes(self) -> None:
        """Logs the number of shapes, and the share of tokens that are no padding."""
        lengths = self.plan(0).lengths
        useful = 100 * int(self._counts.sum()) / (int(lengths.sum(dtype=np.int64)) * self.batch_size)
        log_shapes(len(np.unique(lengths)), useful)
        if self._mixed:
            logger.info("batches: of texts of all lengths, as their length tells much of their label")

    def plan(self, epoch: int) -> BatchPlan:
        """See `training_plan`; open shapes are as long as the longest text of each batch."""
        plan = training_plan(self._counts, self._lengths, self.batch_size, self._seed, epoch)
        if not self.many_shapes:
            return plan
        longest = np.where(plan.indices == FILL, 1, self._counts[plan.indices]).max(axis=1)
        return BatchPlan(longest.astype(np.int32), plan.indices)

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
                "features": self._table.gather(chosen, dict.fromkeys(self._names, lengths[step])),
                "targets": self._targets.gather(chosen),
                "rows": chosen,
                "weights": tf.reshape(weights[step], (replicas, -1))[replica],
                "total_weight": totals[step],
            }

        return make


def _told(targets: np.ndarray | ManyLabels, buckets: np.ndarray) -> float:
    """See `told_by_bucket`; 0 for targets that are not one label each."""
    single = isinstance(targets, np.ndarray) and targets.ndim == 1 and targets.dtype.kind in "iu"
    return told_by_bucket(targets, buckets) if single else 0.0


def log_shapes(shapes: int, useful: float) -> None:
    """Logs the number of different shapes of batches, and the percentage of their tokens that are no padding."""
    logger.info("batches: %d shapes, %.1f %% of their tokens are no padding", shapes, useful)


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
