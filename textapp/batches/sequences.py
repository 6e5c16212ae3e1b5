"""Batches for models that write text: every token has a target. Three sources, for pairs, documents, running text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.buckets import FILL
from textapp.batches.packing import PackedPlan, packed_plan
from textapp.batches.pipeline import TOKENS, Batch, FlatRows, MakeBatch, counts_of, replicated
from textapp.batches.stream import StreamPlan, stream_plan
from textapp.batches.tokens import TokenPlan, token_plan
from textapp.errors import DataError

SEGMENTS = "segment_ids"
Rows = Sequence[np.ndarray]


class TokenBatches:
    """Examples of like length, as many as a number of tokens allows; each sequence padded to its own length.

    Args:
        features: `token_ids`, and `target_ids` of an encoder-decoder, each a list of int32 arrays, one an example.
        targets: what each position of the decoder is to say, as long as the decoder's input; `IGNORED` does not count.
        pad_id: what fills the features.
        batch_tokens: most tokens of a batch, see `token_plan`; None: `batch_size` counts.
        batch_size: rows of a batch.
        seed: decides the order.
        most: tokens that the model reads of each sequence, see `token_plan`.
    """

    batch_size = None
    many_shapes = True

    def __init__(
        self,
        features: Mapping[str, Rows],
        targets: Rows,
        pad_id: int,
        *,
        batch_tokens: int | None = None,
        batch_size: int = 1,
        seed: int = 0,
        most: Mapping[str, int] | None = None,
    ) -> None:
        self._rows = {name: FlatRows(rows, pad_id) for name, rows in features.items()}
        self._targets = FlatRows(targets, IGNORED)
        self._counts = {name: counts_of(rows) for name, rows in features.items()}
        self._target_name = next(name for name in reversed(features))
        self._weights = np.array([(np.asarray(row) != IGNORED).sum() for row in targets], np.float32)
        self._limits, self._most = (batch_tokens, batch_size, seed), most

    def plan(self, epoch: int) -> TokenPlan:
        """See `token_plan`."""
        return token_plan(self._counts, *self._limits, epoch, self._most)

    def distributed(self, plan: TokenPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`; the weight of a row is the number of its targets."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: TokenPlan) -> MakeBatch:
        """The batches of a plan as tensors. Rows are filled up to a multiple of the replicas."""
        indices, offsets = tf.constant(plan.indices), tf.constant(plan.offsets)
        lengths = {name: tf.constant(numbers) for name, numbers in plan.lengths.items()}
        totals = np.add.reduceat(self._weights[plan.indices].astype(np.float64), plan.offsets[:-1])
        totals, weights = tf.constant(totals.astype(np.float32)), tf.constant(self._weights)

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            begin, end = offsets[step], offsets[step + 1]
            rows = (end - begin + replicas - 1) // replicas
            places = begin + tf.cast(replica, tf.int32) * rows + tf.range(rows)
            # A row that fills repeats a real one: a row of padding alone could make a NaN, and 0 * NaN is NaN.
            chosen = tf.gather(indices, tf.minimum(places, end - 1))
            return {
                "features": {name: flat.padded(chosen, lengths[name][step]) for name, flat in self._rows.items()},
                "targets": self._targets.padded(chosen, lengths[self._target_name][step]),
                "weights": tf.where(places < end, tf.gather(weights, chosen), 0.0),
                "total_weight": totals[step],
            }

        return make


class PackedBatches:
    """Documents side by side in rows of one length, told apart by `segment_ids`: for language models.

    Args:
        inputs: of each document, int32 `[tokens]`, at most `length` of them.
        targets: as long as the inputs; `IGNORED` does not count.
        pad_id: what fills a row.
        length: tokens of a row.
        batch_size: rows a step, over all replicas and workers.
        seed: decides the order.
    """

    many_shapes = False

    def __init__(self, inputs: Rows, targets: Rows, pad_id: int, length: int, batch_size: int, seed: int) -> None:
        self._inputs = tf.constant(np.concatenate(list(inputs)).astype(np.int32))
        self._flat_targets = np.concatenate(list(targets)).astype(np.int32)
        self._targets = tf.constant(self._flat_targets)
        self._counts, self._pad_id = counts_of(inputs), pad_id
        self.batch_size, self._limits = batch_size, (length, batch_size, seed)

    def plan(self, epoch: int) -> PackedPlan:
        """See `packed_plan`."""
        return packed_plan(self._counts, *self._limits, epoch)

    def distributed(self, plan: PackedPlan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`; the weight of a row is the number of its targets."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: PackedPlan) -> MakeBatch:
        """The batches of a plan as tensors."""
        counted = (plan.places != FILL) & (self._flat_targets[plan.places] != IGNORED)
        weights = counted.sum(axis=2).astype(np.float32)
        totals, weights = tf.constant(weights.sum(axis=1)), tf.constant(weights)
        # A row that fills repeats the first one: a row of padding alone could make a NaN, and 0 * NaN is NaN.
        empty = (plan.segments == 0).all(axis=2, keepdims=True)
        places = tf.constant(np.where(empty, plan.places[0, 0], plan.places))
        segments = tf.constant(np.where(empty, plan.segments[0, 0], plan.segments))

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            def mine(table: tf.Tensor) -> tf.Tensor:
                rows = table[step]
                return tf.reshape(rows, (replicas, -1, *rows.shape[1:]))[replica]

            chosen = mine(places)
            present, chosen = chosen != FILL, tf.maximum(chosen, 0)
            return {
                "features": {
                    TOKENS: tf.where(present, tf.gather(self._inputs, chosen), self._pad_id),
                    SEGMENTS: mine(segments),
                },
                "targets": tf.where(present, tf.gather(self._targets, chosen), IGNORED),
                "weights": mine(weights),
                "total_weight": totals[step],
            }

        return make


class StreamBatches:
    """Windows of one running text, cut from another place each epoch; the target of a token is the next one.

    Args:
        token_ids: int32 `[tokens]`, the whole text.
        length: tokens of a window.
        batch_size: windows a step, over all replicas and workers.
        seed: decides the order.

    Raises:
        DataError: the text is not longer than a window.
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
        """The batches of a plan as tensors."""
        present = plan.starts != FILL
        weights = np.where(present, np.float32(self._length), np.float32(0))
        totals, weights = tf.constant(weights.sum(axis=1)), tf.constant(weights)
        starts = tf.constant(np.maximum(plan.starts, 0))  # a window that fills repeats the first one

        def make(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            begin = tf.reshape(starts[step], (replicas, -1))[replica]
            windows = tf.gather(self._flat, tf.expand_dims(begin, 1) + tf.range(self._length + 1))
            return {
                "features": {TOKENS: windows[:, :-1]},
                "targets": windows[:, 1:],
                "weights": tf.reshape(weights[step], (replicas, -1))[replica],
                "total_weight": totals[step],
            }

        return make
