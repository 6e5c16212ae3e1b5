"""Batches as tensors: a tf.data pipeline for training, NumPy arrays for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from textapp.batches.buckets import FILL, BatchPlan, evaluation_plan

TOKENS = "token_ids"


@dataclass(frozen=True)
class Examples:
    """What a model learns from.

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
        return np.fromiter(map(len, self.features[TOKENS]), np.int64, len(self))

    def row_weights(self) -> np.ndarray:
        """The weight of each example, float32 `[examples]`."""
        return np.ones(len(self), np.float32) if self.weights is None else np.asarray(self.weights, np.float32)


class Pipeline:
    """Training batches of one set of examples, for any epoch, from any step, for any number of replicas.

    The tokens lie in one flat tensor; a batch is gathered from it by TensorFlow's own threads, without Python.

    Args:
        examples: what to learn from.
        pad_id: what fills `token_ids`; other features are filled with 0.
    """

    def __init__(self, examples: Examples, pad_id: int) -> None:
        self._starts = tf.constant(np.concatenate([[0], np.cumsum(examples.counts)]).astype(np.int64))
        self._flat = {
            name: tf.constant(np.concatenate([np.asarray(row, np.int32) for row in rows]))
            for name, rows in examples.features.items()
        }
        self._padding = {name: pad_id if name == TOKENS else 0 for name in examples.features}
        self._targets = tf.constant(examples.targets)
        self._weights = examples.row_weights()

    def distributed(self, plan: BatchPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """Iterates over the batches from step `start` on; every replica gets its rows of the same global batch.

        Yields:
            what `strategy.run` takes: `features` (int32 `[rows, length]` each), `targets`, `weights` (float32 `[rows]`,
            0 for rows that only fill) and `total_weight`, the sum of the weights of the whole global batch.
        """

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            replicas = max(1, context.num_replicas_in_sync)
            local = replicas // context.num_input_pipelines
            return self._dataset(plan, start, replicas, context.input_pipeline_id * local, local)

        return iter(strategy.distribute_datasets_from_function(of_worker))

    def _dataset(self, plan: BatchPlan, start: int, replicas: int, first: int, local: int) -> tf.data.Dataset:
        """Batches of the replicas `first` to `first + local`, one after the other, step by step."""
        present = plan.indices != FILL
        # A row that fills repeats a real one: a row of padding alone could make a NaN, and 0 * NaN is NaN.
        filled = np.where(present, plan.indices, plan.indices.max(axis=1, keepdims=True))
        weights = np.where(present, self._weights[filled], 0).astype(np.float32)
        totals = tf.constant(weights.sum(axis=1, dtype=np.float64).astype(np.float32))
        shape = (plan.steps, replicas, -1)
        rows, weights = tf.constant(filled.reshape(shape)), tf.constant(weights.reshape(shape))
        lengths = tf.constant(plan.lengths)

        def batch(number: tf.Tensor) -> dict:
            step, replica = number // local, first + number % local
            chosen = rows[step, replica]
            return {
                "features": self._padded(chosen, lengths[step]),
                "targets": tf.gather(self._targets, chosen),
                "weights": weights[step, replica],
                "total_weight": totals[step],
            }

        dataset = tf.data.Dataset.range(start * local, plan.steps * local)
        dataset = dataset.map(batch, num_parallel_calls=2, deterministic=True).prefetch(8)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return dataset.with_options(options)

    def _padded(self, rows: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        """int32 `[rows, length]` for each feature."""
        starts = tf.gather(self._starts, rows)
        ends = tf.gather(self._starts, rows + 1)
        places = tf.expand_dims(starts, 1) + tf.expand_dims(tf.range(tf.cast(length, tf.int64)), 0)
        inside = places < tf.expand_dims(ends, 1)
        places = tf.where(inside, places, tf.constant(0, tf.int64))
        return {
            name: tf.where(inside, tf.gather(flat, places), self._padding[name]) for name, flat in self._flat.items()
        }


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
        yield chosen, {name: padded([rows[i] for i in chosen], length, pad_id if name == TOKENS else 0)
                       for name, rows in features.items()}  # fmt: skip


def padded(rows: Sequence[Sequence[int]], length: int, fill: int) -> np.ndarray:
    """Pads or cuts rows of ids. Example: `padded([[5, 6], [7, 8, 9]], 2, 0)` is `[[5, 6], [7, 8]]`."""
    table = np.full((len(rows), length), fill, np.int32)
    for target, row in zip(table, rows, strict=True):
        target[: len(row)] = row[:length]
    return table
