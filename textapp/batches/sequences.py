"""Batches for text generation, with a target for every token: of pairs, of packed documents, or of a text stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.buckets import FILL
from textapp.batches.packing import PackedPlan, packed_plan
from textapp.batches.pipeline import TOKENS, Batch, MakeBatch, log_shapes, replicated
from textapp.batches.stream import StreamPlan, stream_plan
from textapp.batches.tables import make_table, positions_of, starts_of
from textapp.batches.token_buckets import TokenPlan, token_buckets, token_plan
from textapp.errors import DataError
from textapp.records.cache import lengths_of
from textapp.records.shards import ShardColumn

SEGMENTS = "segment_ids"
TARGETS = "targets"
Rows = Sequence[np.ndarray]


class TokenBatches:
    """Batches of a maximum number of tokens, of examples of similar length, see `token_buckets`.

    Args:
        features: `token_ids`, and for an encoder-decoder `target_ids`, each a list of int32 arrays, one an example.
        targets: of the decoder's outputs, one for each of its inputs; `IGNORED` has no loss.
        pad_id: pads the features.
        batch_tokens: tokens of a batch at most; None: `batch_size` rows.
        batch_size: rows of a batch, without `batch_tokens`.
        seed: determines the order.
        max_lengths: maximum length of each sequence, which padding does not exceed either.
        static_shapes: few of them, for a compiler that makes a program for each.
    """

    batch_size = None

    def __init__(
        self,
        features: Mapping[str, Rows],
        targets: Rows,
        pad_id: int,
        *,
        batch_tokens: int | None = None,
        batch_size: int = 1,
        seed: int = 0,
        max_lengths: Mapping[str, int] | None = None,
        static_shapes: bool = False,
    ) -> None:
        fills = {**dict.fromkeys(features, pad_id), TARGETS: IGNORED}
        self._table = make_table({**features, TARGETS: targets}, fills)
        self._target_starts = starts_of(lengths_of(targets))
        self._target_name = next(name for name in reversed(features))
        self._weights = _weights(targets)
        self.many_shapes, self._seed = not static_shapes, seed
        counts = {name: lengths_of(rows) for name, rows in features.items()}
        self._buckets = token_buckets(counts, batch_tokens, batch_size, max_lengths, static_shapes)

    def log_shapes(self) -> None:
        """Logs the number of shapes, and the share of tokens that are no padding."""
        log_shapes(self._buckets.shapes, 100 * self._buckets.useful)

    def plan(self, epoch: int) -> TokenPlan:
        """See `token_plan`."""
        return token_plan(self._buckets, self._seed, epoch)

    def distributed(self, plan: TokenPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`; the weight of a row is the number of its targets."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: TokenPlan) -> MakeBatch:
        """Returns a function that makes the batches of a plan; rows are filled up to a multiple of the replicas."""
        indices, offsets, rows_of = (tf.constant(each) for each in (plan.indices, plan.offsets, plan.rows))
        lengths = {name: tf.constant(numbers) for name, numbers in plan.lengths.items()}
        totals = np.add.reduceat(self._weights[plan.indices].astype(np.float64), plan.offsets[:-1])
        totals, weights = tf.constant(totals.astype(np.float32)), tf.constant(self._weights)

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            begin, end = offsets[step], offsets[step + 1]
            rows = (rows_of[step] + replicas - 1) // replicas
            positions = begin + tf.cast(replica, tf.int32) * rows + tf.range(rows)
            # A batch is filled with repeated rows of weight 0: a row of padding alone could give NaN.
            chosen = tf.gather(indices, tf.minimum(positions, end - 1))
            of_step = {name: numbers[step] for name, numbers in lengths.items()}
            of_targets = of_step[self._target_name]
            features = self._table.gather(chosen, {**of_step, TARGETS: of_targets})
            return {
                "targets": features.pop(TARGETS),
                "features": features,
                "positions": positions_of(self._target_starts, chosen, of_targets),
                "weights": tf.where(positions < end, tf.gather(weights, chosen), 0.0),
                "total_weight": totals[step],
            }

        return make


def _weights(targets: Rows) -> np.ndarray:
    """The number of targets of each row that have a loss, float32; on disk all have."""
    if isinstance(targets, ShardColumn):
        return targets.lengths.astype(np.float32)
    return np.array([(np.asarray(row) != IGNORED).sum() for row in targets], np.float32)


class PackedBatches:
    """Batches of documents packed into rows of one length, separated by `segment_ids`, for language models.

    Args:
        inputs: int32 `[tokens]` of each document, at most `length` tokens.
        targets: one for each input; `IGNORED` has no loss.
        pad_id: pads the rows.
        length: tokens of a row.
        batch_size: rows a step, over all replicas and workers.
        seed: determines the order.
    """

    many_shapes = False

    def __init__(self, inputs: Rows, targets: Rows, pad_id: int, length: int, batch_size: int, seed: int) -> None:
        self._inputs = tf.constant(np.concatenate(list(inputs)).astype(np.int32))
        self._flat_targets = np.concatenate(list(targets)).astype(np.int32)
        self._targets = tf.constant(self._flat_targets)
        self._counts, self._pad_id = lengths_of(inputs), pad_id
        self.batch_size, self._limits = batch_size, (length, batch_size, seed)

    def plan(self, epoch: int) -> PackedPlan:
        """See `packed_plan`."""
        return packed_plan(self._counts, *self._limits, epoch)

    def distributed(self, plan: PackedPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`; the weight of a row is the number of its targets."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: PackedPlan) -> MakeBatch:
        """Returns a function that makes the batches of a plan as tensors."""
        counted = (plan.positions != FILL) & (self._flat_targets[plan.positions] != IGNORED)
        weights = counted.sum(axis=2).astype(np.float32)
        totals, weights = tf.constant(weights.sum(axis=1)), tf.constant(weights)
        # A batch is filled with copies of the first row, of weight 0: a row of padding alone could give NaN.
        empty = (plan.segments == 0).all(axis=2, keepdims=True)
        positions = tf.constant(np.where(empty, plan.positions[0, 0], plan.positions))
        segments = tf.constant(np.where(empty, plan.segments[0, 0], plan.segments))

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            def share(table: tf.Tensor) -> tf.Tensor:
                rows = table[step]
                return tf.reshape(rows, (replicas, -1, *rows.shape[1:]))[replica]

            chosen = share(positions)
            present, inside = chosen != FILL, tf.maximum(chosen, 0)
            return {
                "features": {
                    TOKENS: tf.where(present, tf.gather(self._inputs, inside), self._pad_id),
                    SEGMENTS: share(segments),
                },
                "targets": tf.where(present, tf.gather(self._targets, inside), IGNORED),
                "positions": chosen,
                "weights": share(weights),
                "total_weight": totals[step],
            }

        return make


class StreamBatches:
    """Batches of windows of one text stream, with another offset each epoch; the target of a token is the next one.

    Args:
        token_ids: int32 `[tokens]`, the whole stream.
        length: tokens of a window.
        batch_size: windows a step, over all replicas and workers.
        seed: determines the order.

    Raises:
        DataError: the stream is not longer than a window.
    """

    many_shapes = False

    def __init__(self, token_ids: np.ndarray, length: int, batch_size: int, seed: int) -> None:
        if len(token_ids) <= length:
            raise DataError(
                f"training text: found {len(token_ids)} tokens, expected more than {length}, the length of a window: "
                "give more text, or a smaller last number in 'lengths'"
            )
        self._flat = tf.constant(np.asarray(token_ids, np.int32))
        self.batch_size, self._length = batch_size, length
        self._limits = (len(token_ids), length, batch_size, seed)

    def plan(self, epoch: int) -> StreamPlan:
        """See `stream_plan`."""
        return stream_plan(*self._limits, epoch)

    def distributed(self, plan: StreamPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`; the weight of a row is the number of its targets."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: StreamPlan) -> MakeBatch:
        """Returns a function that makes the batches of a plan as tensors."""
        present = plan.starts != FILL
        weights = np.where(present, np.float32(self._length), np.float32(0))
        totals, weights = tf.constant(weights.sum(axis=1)), tf.constant(weights)
        starts = tf.constant(np.maximum(plan.starts, 0))  # a batch is filled with copies of the first window

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            begin = tf.reshape(starts[step], (replicas, -1))[replica]
            positions = tf.expand_dims(begin, 1) + tf.range(self._length + 1)
            windows = tf.gather(self._flat, positions)
            return {
                "features": {TOKENS: windows[:, :-1]},
                "targets": windows[:, 1:],
                "positions": positions[:, :-1],
                "weights": tf.reshape(weights[step], (replicas, -1))[replica],
                "total_weight": totals[step],
            }

        return make
